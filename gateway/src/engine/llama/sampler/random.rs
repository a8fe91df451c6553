//! The draws: a number for every (seed, position), with no state between.
//!
//! A draw depends on nothing but the seed and how many tokens came before, so a sequence that was preempted, moved
//! or replayed goes on with the same draws. The mixing function is `SplitMix64`'s (Steele, Lea, Flood 2014), written
//! out here so that no library's next version changes what a seed means.

/// The odd number nearest 2⁶⁴ over the golden ratio: consecutive positions land far apart.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A number in `0.0..1.0` with 53 random bits.
pub(super) fn unit(seed: u64, position: u64) -> f64 {
    // The seed is mixed first: seeds that differ by little must not give shifted copies of one sequence.
    let bits = mix(mix(seed).wrapping_add(position.wrapping_add(1).wrapping_mul(GOLDEN)));
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

fn mix(input: u64) -> u64 {
    let mut z = input.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixing_agrees_with_the_published_generator() {
        // The first outputs of SplitMix64 from state 1234567, as its reference implementation prints them.
        let outputs: Vec<u64> =
            (0..3).map(|i: u64| mix(1_234_567_u64.wrapping_add(i.wrapping_mul(GOLDEN)))).collect();
        assert_eq!(
            outputs,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn draws_lie_in_the_unit_interval_and_spread_evenly() {
        for seed in [0, 1, u64::MAX] {
            let mut tenths = [0_u32; 10];
            for position in 0..10_000 {
                let draw = unit(seed, position);
                assert!((0.0..1.0).contains(&draw));
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 9")]
                let tenth = (draw * 10.0) as usize;
                tenths[tenth] += 1;
            }
            assert!(tenths.iter().all(|n| (850..1150).contains(n)), "{tenths:?}");
        }
    }

    #[test]
    fn neighbouring_seeds_share_no_draws() {
        let first: Vec<u64> = (0..1000).map(|i| unit(7, i).to_bits()).collect();
        assert!((0..1000).all(|i| !first.contains(&unit(8, i).to_bits())));
    }
}
