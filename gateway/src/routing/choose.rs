//! Which target is asked first, and who comes after it: drawn by weight, the same for the same key.
//!
//! Each target runs a race whose time is exponential with its weight as the rate: it wins in proportion to its weight,
//! and the order behind it is a draw among the rest. With the luck taken from a key and the target's name instead of
//! dice this is weighted rendezvous hashing: a key stays where it is until its target goes or loses weight.

use sha2::{Digest, Sha256};

/// A number that is the same for the same texts, on every replica.
pub(super) fn key<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut digest = Sha256::new();
    for text in texts {
        // With its length, so that no two lists of texts are one.
        digest.update(text.len().to_le_bytes());
        digest.update(text);
    }
    digest.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The luck of a target with a key, above 0 and up to 1.
pub(super) fn luck(key: u64, target: u64) -> f64 {
    // SplitMix64's last steps: one bit of difference changes half of them all.
    let mut bits = key ^ target.rotate_left(32);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// The places of the weights, first to be asked first. What has no weight is left out.
pub(super) fn order(weights: &[u32], mut luck: impl FnMut(usize) -> f64) -> Vec<usize> {
    let mut times: Vec<(f64, usize)> = Vec::with_capacity(weights.len());
    for (place, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
        times.push((-luck(place).ln() / f64::from(*weight), place));
    }
    times.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    times.into_iter().map(|(_, place)| place).collect()
}

/// Puts the second place before the first where it has less to do.
pub(super) fn lighter_first(order: &mut [usize], load: impl Fn(usize) -> f64) {
    if let [first, second, ..] = order
        && load(*second) < load(*first)
    {
        std::mem::swap(first, second);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const DRAWS: u32 = 20_000;

    /// How often each place came first.
    fn shares(weights: &[u32], mut luck: impl FnMut(u32, usize) -> f64) -> Vec<f64> {
        let mut firsts = vec![0_u32; weights.len()];
        for draw in 0..DRAWS {
            if let Some(first) = order(weights, |place| luck(draw, place)).first() {
                firsts[*first] += 1;
            }
        }
        firsts.into_iter().map(|count| f64::from(count) / f64::from(DRAWS)).collect()
    }

    /// Within five standard deviations of the weights' shares.
    fn assert_fair(weights: &[u32], shares: &[f64]) {
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        for (weight, share) in weights.iter().zip(shares) {
            let fair = f64::from(*weight) / total;
            let bound = 5.0 * (fair * (1.0 - fair) / f64::from(DRAWS)).sqrt() + 1e-9;
            assert!((share - fair).abs() <= bound, "{weights:?} gave {shares:?}");
        }
    }

    #[test]
    fn a_canary_gets_its_share_by_dice_and_by_key() {
        let mut dice = StdRng::seed_from_u64(7);
        for weights in [vec![99, 1], vec![9, 1], vec![1, 1, 1], vec![5, 0, 3, 2], vec![1]] {
            assert_fair(&weights, &shares(&weights, |_, _| 1.0 - dice.random::<f64>()));
            let names: Vec<u64> =
                (0..weights.len()).map(|place| key([format!("m{place}").as_str()])).collect();
            let by_key =
                shares(&weights, |draw, place| luck(key([format!("subject-{draw}").as_str()]), names[place]));
            assert_fair(&weights, &by_key);
        }
    }

    #[test]
    fn of_two_the_one_with_less_to_do_comes_first() {
        let loads = [5.0, 1.0, 0.0];
        let mut order = vec![0, 1, 2];
        lighter_first(&mut order, |place| loads[place]);
        assert_eq!(order, [1, 0, 2]);
        lighter_first(&mut order, |place| loads[place]);
        assert_eq!(order, [1, 0, 2]);
        lighter_first(&mut [], |_| 0.0);
    }

    #[test]
    fn lists_of_texts_are_told_apart() {
        assert_ne!(key(["ab", "c"]), key(["a", "bc"]));
        assert_eq!(key(["ab", "c"]), key(["ab", "c"]));
    }

    proptest! {
        #[test]
        fn every_weight_has_one_place(weights in prop::collection::vec(0_u32..1000, 0..20), key in any::<u64>()) {
            let mut places = order(&weights, |place| luck(key, place as u64));
            places.sort_unstable();
            let weighty: Vec<usize> = (0..weights.len()).filter(|place| weights[*place] > 0).collect();
            prop_assert_eq!(places, weighty);
        }

        #[test]
        fn a_key_moves_only_from_a_target_that_goes_or_to_one_that_comes(
            weights in prop::collection::vec(1_u32..100, 2..10), gone in 0_usize..10, key in any::<u64>()
        ) {
            let gone = gone % weights.len();
            let name = |place: usize| super::key([format!("m{place}").as_str()]);
            let before = order(&weights, |place| luck(key, name(place)));
            let mut fewer = weights.clone();
            fewer[gone] = 0;
            let after = order(&fewer, |place| luck(key, name(place)));
            let expected: Vec<usize> = before.into_iter().filter(|place| *place != gone).collect();
            prop_assert_eq!(after, expected);
        }

        #[test]
        fn more_weight_takes_keys_and_gives_none_away(
            weights in prop::collection::vec(1_u32..100, 2..6), key in any::<u64>()
        ) {
            let name = |place: usize| super::key([format!("m{place}").as_str()]);
            let before = order(&weights, |place| luck(key, name(place)));
            let mut more = weights.clone();
            more[0] += 50;
            let after = order(&more, |place| luck(key, name(place)));
            prop_assert!(before[0] != 0 || after[0] == 0);
            prop_assert!(after[0] == 0 || after[0] == before[0]);
        }
    }
}
