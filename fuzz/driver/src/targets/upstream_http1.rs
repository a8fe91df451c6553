//! An answer of another server over HTTP/1.1, however its bytes are cut.

use gateway::engine::upstream::http1::read_in_pieces;

use super::{mark, words};

/// An answer, after a byte that chooses how it is cut: the cut may change nothing.
///
/// # Panics
/// If it does: that is the finding.
pub fn upstream_http1(bytes: &[u8]) -> u64 {
    let [cut, rest @ ..] = bytes else { return 0 };
    let whole = read_in_pieces([rest]);
    let pieces = read_in_pieces(rest.chunks(usize::from(cut % 31) + 1));
    assert_eq!(whole.is_ok(), pieces.is_ok(), "the same bytes cut otherwise are an answer and none");
    match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => {
            assert_eq!(whole, pieces, "the same bytes cut otherwise are another answer");
            let (status, length) = (u64::from(whole.status.as_u16()), whole.content.len() as u64 % 64);
            mark(&[status, length, whole.headers.len() as u64, u64::from(whole.left > 0)])
        }
        (whole, _) => whole.map_or_else(|error| words(&error.to_string()), |_| 0),
    }
}
