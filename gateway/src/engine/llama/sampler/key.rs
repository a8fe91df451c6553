//! A candidate as one number, so that comparing, selecting and sorting candidates compares integers.
//!
//! Likelier tokens have smaller keys, and of equally likely ones the lower index has; a set that truncation keeps is
//! therefore everything up to some key.

/// The key that no candidate passes.
pub(super) const LAST: u64 = u64::MAX;

/// The key of a logit at an index.
#[inline]
pub(super) fn key(logit: f32, index: u32) -> u64 {
    // Adding zero makes the two zeros one.
    let bits = (logit + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | (1 << 31) };
    (u64::from(!ascending) << 32) | u64::from(index)
}

/// The logit of a key.
#[inline]
pub(super) fn logit_of(key: u64) -> f32 {
    let ascending = !((key >> 32) as u32);
    f32::from_bits(if ascending >> 31 == 1 { ascending & !(1 << 31) } else { !ascending })
}

/// The index of a key.
#[inline]
pub(super) fn index_of(key: u64) -> u32 {
    let [a, b, c, d, ..] = key.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The last key that a logit at the threshold can have.
pub(super) fn last_at(threshold: f32) -> u64 {
    key(threshold, u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ascend_with_falling_logits_and_rising_indices() {
        let logits = [f32::INFINITY, 7.5, f32::MIN_POSITIVE, 0.0, -1e-30, -3.0, f32::MIN, f32::NEG_INFINITY];
        let keys: Vec<u64> =
            logits.iter().flat_map(|&logit| [key(logit, 0), key(logit, 9), last_at(logit)]).collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
        assert_eq!(key(-0.0, 4), key(0.0, 4));
        for (index, &logit) in (0..).zip(&logits) {
            let key = key(logit, index);
            assert_eq!((logit_of(key).to_bits(), index_of(key)), (logit.to_bits(), index));
        }
    }
}
