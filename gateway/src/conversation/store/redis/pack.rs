//! An item as one string of bytes: the id's length in two bytes, the id, the content.

use bytes::Bytes;

use crate::conversation::store::Entry;

/// What an item with this id begins with.
pub(super) fn prefix(id: &str) -> Vec<u8> {
    // Ids are ours, and far shorter than this can tell.
    let length = u16::try_from(id.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), id.as_bytes()].concat()
}

/// An item as it is stored.
pub(super) fn pack(item: &Entry) -> Vec<u8> {
    let mut packed = prefix(&item.id);
    packed.extend_from_slice(&item.content);
    packed
}

/// The item again; `None` where it is none of ours.
pub(super) fn unpack(packed: Vec<u8>) -> Option<Entry> {
    let packed = Bytes::from(packed);
    let length = usize::from(u16::from_be_bytes([*packed.first()?, *packed.get(1)?]));
    let id = std::str::from_utf8(packed.get(2..2 + length)?).ok()?.to_owned();
    Some(Entry { id, content: packed.slice(2 + length..) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(id in ".{0,20}", content in prop::collection::vec(any::<u8>(), 0..40)) {
            let item = Entry { id, content: content.into() };
            prop_assert_eq!(unpack(pack(&item)), Some(item));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = unpack(bytes);
        }
    }
}
