//! The spool under any bytes, any bound and any cut.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const ROOM: u64 = 1 << 20;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn drain(spool: &mut Spool) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(entry) = spool.oldest() {
        spool.done(&entry);
        all.push(entry.bytes);
    }
    all
}

fn files(folder: &TempDir) -> Vec<PathBuf> {
    let names = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
    let mut names: Vec<_> = names.filter(|path| path.to_string_lossy().ends_with(SUFFIX)).collect();
    names.sort();
    names
}

#[test]
fn entries_come_back_in_order_and_only_this_user_reads_them() {
    let folder = folder();
    let mut spool = Spool::open(folder.path(), ROOM).unwrap();
    spool.append(1, b"one").unwrap();
    spool.append(2, b"").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(files(&folder).iter().map(|path| mode(path)).collect::<Vec<_>>(), [0o600]);
    assert_eq!(drain(&mut spool), [b"one".to_vec(), b"".to_vec()]);
    assert_eq!((spool.bytes(), files(&folder).len(), spool.take_lost()), (0, 0, 0));
}

#[test]
fn a_restart_goes_on_behind_what_was_done() {
    let folder = folder();
    let mut spool = Spool::open(folder.path(), ROOM).unwrap();
    for text in ["one", "two", "three"] {
        spool.append(1, text.as_bytes()).unwrap();
    }
    let first = spool.oldest().unwrap();
    spool.done(&first);
    spool.sync().unwrap();
    drop(spool);
    let mut spool = Spool::open(folder.path(), ROOM).unwrap();
    spool.append(1, b"four").unwrap();
    assert_eq!(drain(&mut spool), [b"two".to_vec(), b"three".to_vec(), b"four".to_vec()]);
    assert_eq!(spool.take_lost(), 0);
}

#[test]
fn an_entry_that_left_while_it_was_carried_is_done_without_harm() {
    let folder = folder();
    let mut spool = Spool::open(folder.path(), 60).unwrap();
    spool.append(1, &[1; 20]).unwrap();
    let entry = spool.oldest().unwrap();
    spool.append(1, &[2; 40]).unwrap();
    spool.done(&entry);
    assert_eq!(spool.take_lost(), 0, "it was delivered, not lost");
    assert_eq!(drain(&mut spool), [vec![2; 40]]);
}

#[test]
fn an_entry_that_left_while_it_was_tried_in_vain_is_lost_once() {
    for defer in [false, true] {
        let folder = folder();
        let mut spool = Spool::open(folder.path(), 60).unwrap();
        spool.append(3, &[1; 20]).unwrap();
        let entry = spool.oldest().unwrap();
        spool.append(1, &[2; 40]).unwrap();
        if defer {
            assert!(!spool.defer(&entry).unwrap());
        } else {
            spool.keep(&entry);
        }
        assert_eq!(spool.take_lost(), 3);
        assert_eq!(drain(&mut spool), [vec![2; 40]]);
    }
}

#[test]
fn an_entry_is_deferred_only_where_no_other_has_to_leave_for_it() {
    let folder = folder();
    let mut spool = Spool::open(folder.path(), 100).unwrap();
    for number in [1, 2] {
        spool.append(1, &[number; 15]).unwrap();
    }
    let entry = spool.oldest().unwrap();
    assert!(spool.defer(&entry).unwrap());
    assert_eq!(spool.oldest().unwrap().bytes, [2; 15]);
    spool.append(1, &[3; 21]).unwrap();
    let entry = spool.oldest().unwrap();
    assert!(!spool.defer(&entry).unwrap(), "full");
    assert_eq!(drain(&mut spool), [vec![2; 15], vec![1; 15], vec![3; 21]]);
    assert_eq!(spool.take_lost(), 0);
}

#[test]
fn a_disk_that_takes_nothing_does_not_fill_with_empty_files() {
    let folder = folder();
    let mut spool = Spool::open(folder.path(), ROOM).unwrap();
    for _ in 0..3 {
        spool.append(1, b"one").unwrap();
        drain(&mut spool);
        // As a full disk: the file is there, and nothing can be put into it.
        let number = spool.next_number;
        fs::write(spool.path(number), b"").unwrap();
        spool.writer = Some(File::open(spool.path(number)).unwrap());
        spool.segments.push_back(Segment { number, ..Segment::default() });
        spool.next_number += 1;
        assert!(spool.append(1, b"two").is_err());
        assert!(spool.is_empty());
        assert_eq!(files(&folder).len(), 0);
    }
}

#[test]
fn a_folder_has_one_owner_and_an_entry_a_bound() {
    let folder = folder();
    let mut spool = Spool::open(folder.path(), 100).unwrap();
    assert!(matches!(Spool::open(folder.path(), 100), Err(SpoolError::InUse(_))));
    assert!(matches!(spool.append(1, &[0; 100]), Err(SpoolError::TooLarge)));
    assert!(spool.is_empty());
}

#[test]
fn a_file_of_zeros_is_damaged() {
    let folder = folder();
    drop(Spool::open(folder.path(), ROOM).unwrap());
    fs::write(folder.path().join(format!("{:020}{SUFFIX}", 7)), [0; 4096]).unwrap();
    let mut spool = Spool::open(folder.path(), ROOM).unwrap();
    assert_eq!((spool.oldest(), spool.take_lost()), (None, 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_put_in_comes_out(entries in prop::collection::vec(any::<Vec<u8>>(), 0..40), done in 0_usize..50) {
        let folder = folder();
        let mut spool = Spool::open(folder.path(), ROOM).unwrap();
        for bytes in &entries {
            spool.append(3, bytes).unwrap();
        }
        for bytes in entries.iter().take(done) {
            let entry = spool.oldest().unwrap();
            prop_assert_eq!(&entry.bytes, bytes);
            spool.done(&entry);
        }
        drop(spool);
        let mut spool = Spool::open(folder.path(), ROOM).unwrap();
        let left: Vec<_> = entries.into_iter().skip(done).collect();
        prop_assert_eq!(drain(&mut spool), left);
    }

    #[test]
    fn the_bound_holds_and_the_newest_stay(
        sizes in prop::collection::vec(0_usize..300, 1..40), most in 400_u64..4000,
    ) {
        let folder = folder();
        let mut spool = Spool::open(folder.path(), most).unwrap();
        let entries: Vec<_> = sizes.iter().zip(0_u8..).map(|(size, at)| vec![at; *size]).collect();
        for bytes in &entries {
            spool.append(1, bytes).unwrap();
            let on_disk: u64 = files(&folder).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
            prop_assert!(on_disk <= most);
            prop_assert_eq!(on_disk, spool.bytes());
        }
        let lost = usize::try_from(spool.take_lost()).unwrap();
        prop_assert_eq!(drain(&mut spool), entries.get(lost..).unwrap());
    }

    #[test]
    fn a_cut_costs_what_was_behind_it(
        entries in prop::collection::vec(any::<Vec<u8>>(), 1..20), cut in any::<prop::sample::Index>(),
    ) {
        let folder = folder();
        let mut spool = Spool::open(folder.path(), ROOM).unwrap();
        let mut ends = vec![0];
        for bytes in &entries {
            spool.append(1, bytes).unwrap();
            ends.push(spool.bytes());
        }
        drop(spool);
        let file = files(&folder).remove(0);
        let cut = cut.index(usize::try_from(*ends.last().unwrap()).unwrap()) as u64;
        File::options().write(true).open(file).unwrap().set_len(cut).unwrap();
        let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
        let mut spool = Spool::open(folder.path(), ROOM).unwrap();
        prop_assert_eq!(drain(&mut spool), entries.get(..whole).unwrap());
        prop_assert_eq!(spool.take_lost(), u64::from(!ends.contains(&cut)));
    }

    #[test]
    fn a_flipped_byte_is_never_taken_for_an_entry(
        entries in prop::collection::vec(any::<Vec<u8>>(), 1..20), at in any::<prop::sample::Index>(),
        flip in 1_u8..=255, open in any::<bool>(),
    ) {
        let folder = folder();
        let mut spool = Spool::open(folder.path(), ROOM).unwrap();
        for bytes in &entries {
            spool.append(1, bytes).unwrap();
        }
        let file = files(&folder).remove(0);
        let mut bytes = fs::read(&file).unwrap();
        let place = at.get_mut(&mut bytes);
        *place ^= flip;
        fs::write(&file, bytes).unwrap();
        if !open {
            // Found at the start, instead of while it is read.
            drop(spool);
            spool = Spool::open(folder.path(), ROOM).unwrap();
        }
        let left = drain(&mut spool);
        prop_assert!(left.len() < entries.len());
        prop_assert_eq!(&left, entries.get(..left.len()).unwrap());
        prop_assert!(spool.take_lost() > 0);
    }

    #[test]
    fn any_bytes_at_all_open(bytes in any::<Vec<u8>>(), place in any::<Vec<u8>>()) {
        let folder = folder();
        fs::write(folder.path().join(format!("{:020}{SUFFIX}", 3)), bytes).unwrap();
        fs::write(folder.path().join(CURSOR), place).unwrap();
        let mut spool = Spool::open(folder.path(), ROOM).unwrap();
        spool.append(1, b"still").unwrap();
        prop_assert_eq!(drain(&mut spool).pop().unwrap(), b"still");
    }
}
