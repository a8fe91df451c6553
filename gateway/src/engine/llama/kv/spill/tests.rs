//! Sequences on disk under a cache that models the context exactly: a wrong restore is a wrong next token.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::format::{self, Refusal};
use super::{Identity, Spill, SpillSettings};
use crate::engine::llama::compute::{Limits, Row};
use crate::engine::llama::gauges::SpillCounts;
use crate::engine::llama::kv::{Key, KvCache};
use crate::engine::llama::memory_file::MemoryFile;
use crate::engine::llama::simulated::{Simulated, next_token};

const LIMITS: Limits = Limits { slots: 2, window: 128, batch: 128, cells: 256, unified: false };
/// Host memory for two sequences of [`LENGTH`] tokens.
const HOST: usize = 2 * 4 * LENGTH as usize;
const LENGTH: u32 = 30;
const PATIENCE: Duration = Duration::from_secs(20);

struct Home {
    folder: tempfile::TempDir,
    identity: Identity,
    limit: u64,
    counts: Arc<SpillCounts>,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, identity: Identity([7; 32]), limit: 1 << 20, counts: Arc::default() }
    }

    fn spill(&self) -> Spill {
        let settings = SpillSettings {
            identity: self.identity,
            folder: self.folder.path().join("model"),
            limit: self.limit,
            after: Duration::from_mins(5),
            window: LIMITS.window,
        };
        Spill::open(settings, Arc::clone(&self.counts)).expect("the folder opens")
    }

    fn cache(&self, host: usize) -> KvCache<Simulated> {
        KvCache::new(Simulated::new(LIMITS), host).with_spill(Some(self.spill()))
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("model")).unwrap();
        let mut files: Vec<PathBuf> =
            entries.map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("lock")).collect();
        files.sort();
        files
    }
}

/// A text that shares nothing with those of other numbers.
fn text(number: u32) -> Vec<u32> {
    (1000 * number + 1..=1000 * number + LENGTH).collect()
}

fn key(salt: &str, tokens: &[u32]) -> Key {
    Key { salt: Arc::from(salt), tokens: Arc::from(tokens) }
}

/// Runs a sequence to its end, on what is found of it in memory or on disk; returns how many tokens were reused.
fn run(kv: &mut KvCache<Simulated>, salt: &str, tokens: &[u32]) -> usize {
    let wanted = &tokens[..tokens.len() - 1];
    let at_hand = kv.longest_match(salt, wanted).map_or(0, |found| found.length);
    if let Some(found) = kv.spilled_match(salt, wanted, at_hand) {
        kv.fetch(&Arc::from(salt), &found);
        until(|| {
            kv.settle();
            !kv.is_fetching()
        });
    }
    let found = kv.longest_match(salt, wanted);
    let (slot, reused) = kv.begin(salt, found.as_ref()).expect("a slot is free");
    for (position, token) in (0..).zip(tokens.iter().copied()).skip(reused) {
        kv.decode(&[Row { token, position, slot, logits: true }]).expect("there is room");
    }
    let likeliest = kv.logits(0).unwrap().iter().position(|logit| *logit > 0.0).unwrap();
    assert_eq!(likeliest, next_token(tokens) as usize, "the KV is that of the tokens");
    kv.finish(slot, &Arc::from(salt), tokens);
    reused
}

fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "it does not come to an end");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Lets everything idle go to disk.
fn spill_all(kv: &mut KvCache<Simulated>) {
    let later = Instant::now() + Duration::from_hours(1);
    until(|| kv.spill_idle(later).is_none());
}

fn state(bytes: &[u8]) -> Arc<MemoryFile> {
    let mut file = MemoryFile::create().unwrap();
    file.append(bytes).unwrap();
    Arc::new(file)
}

fn settled(spill: &mut Spill) {
    until(|| {
        spill.settle();
        spill.has_written() && !spill.is_reading()
    });
}

#[test]
fn what_is_pushed_out_of_memory_comes_back_from_disk() {
    let home = Home::new();
    let mut kv = home.cache(HOST);
    for number in 0..8 {
        assert_eq!(run(&mut kv, "a", &text(number)), 0);
    }
    assert_eq!(kv.longest_match("a", &text(0)), None, "memory has forgotten it");
    until(|| {
        kv.settle();
        home.counts.sequences_spilled() >= 4
    });
    let next: Vec<u32> = text(0).into_iter().chain([5, 6]).collect();
    assert_eq!(run(&mut kv, "a", &next), LENGTH as usize);
    assert_eq!(home.counts.sequences_restored(), 1);
}

#[test]
fn a_sequence_larger_than_all_memory_comes_back_too() {
    let home = Home::new();
    let mut kv = home.cache(4);
    for number in 0..3 {
        run(&mut kv, "a", &text(number));
    }
    for number in [0, 1, 0] {
        let next: Vec<u32> = text(number).into_iter().chain([5]).collect();
        assert_eq!(run(&mut kv, "a", &next), LENGTH as usize);
    }
}

#[test]
fn the_next_process_finds_what_was_idle_and_what_was_there_at_the_end() {
    let home = Home::new();
    let mut kv = home.cache(HOST);
    run(&mut kv, "a", &text(0));
    assert_eq!(home.files().len(), 0, "nothing is idle yet");
    spill_all(&mut kv);
    assert_eq!(home.files().len(), 1);
    run(&mut kv, "a", &text(1));
    kv.spill_rest(Instant::now() + PATIENCE);
    drop(kv);
    assert_eq!(home.files().len(), 2);
    let mut kv = home.cache(HOST);
    for number in 0..2 {
        let next: Vec<u32> = text(number).into_iter().chain([5]).collect();
        assert_eq!(run(&mut kv, "a", &next), LENGTH as usize);
    }
}

#[test]
fn no_time_at_the_end_writes_nothing_and_leaves_nothing_half() {
    let home = Home::new();
    let mut kv = home.cache(HOST);
    run(&mut kv, "a", &text(0));
    kv.spill_rest(Instant::now());
    drop(kv);
    assert_eq!(home.files(), Vec::<PathBuf>::new());
}

#[test]
fn another_tenant_never_finds_it() {
    let home = Home::new();
    let mut kv = home.cache(HOST);
    run(&mut kv, "a", &text(0));
    spill_all(&mut kv);
    drop(kv);
    let mut kv = home.cache(HOST);
    assert_eq!(kv.spilled_match("b", &text(0), 0), None);
    assert_eq!(run(&mut kv, "b", &text(0)), 0);
    assert!(kv.spilled_match("a", &text(0), 0).is_some());
}

#[test]
fn a_file_moved_to_another_tenants_place_is_not_believed() {
    let home = Home::new();
    let mut spill = home.spill();
    assert!(spill.put(&key("a", &text(0)), &state(b"of a")));
    assert!(spill.put(&key("b", &text(0)), &state(b"of b")));
    settled(&mut spill);
    let [of_a, of_b] = home.files().try_into().expect("two files");
    fs::copy(&of_a, home.folder.path().join("saved")).unwrap();
    fs::rename(&of_b, &of_a).unwrap();
    fs::rename(home.folder.path().join("saved"), &of_b).unwrap();
    for salt in ["a", "b"] {
        spill.fetch(&Arc::from(salt), &Arc::from(text(0)));
        until(|| {
            assert_eq!(spill.settle().len(), 0, "nothing wrong is given out");
            !spill.is_reading()
        });
        assert!(!spill.holds(salt, &text(0)));
    }
    assert_eq!(home.counts.sequences_dropped(), 2);
}

#[test]
fn another_models_files_are_dropped_at_the_start() {
    let mut home = Home::new();
    let mut kv = home.cache(HOST);
    run(&mut kv, "a", &text(0));
    spill_all(&mut kv);
    drop(kv);
    home.identity = Identity([8; 32]);
    let mut kv = home.cache(HOST);
    assert_eq!(home.files(), Vec::<PathBuf>::new());
    assert_eq!(run(&mut kv, "a", &text(0)), 0);
    assert_eq!(home.counts.sequences_dropped(), 1);
}

#[test]
fn a_flipped_bit_anywhere_and_a_cut_anywhere_drop_the_file() {
    let home = Home::new();
    let mut spill = home.spill();
    spill.put(&key("a", &text(0)), &state(&[1; 200]));
    settled(&mut spill);
    let [path] = home.files().try_into().expect("one file");
    let whole = fs::read(&path).unwrap();
    let read = || format::read(&path, &home.identity, &key("a", &text(0)), whole.len() as u64);
    assert!(read().is_ok());
    for place in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 1 << (place % 8);
        fs::write(&path, damaged).unwrap();
        assert!(matches!(read(), Err(Refusal::Damaged | Refusal::Foreign)), "byte {place}");
        fs::write(&path, &whole[..place]).unwrap();
        assert!(matches!(read(), Err(Refusal::Damaged | Refusal::Foreign)), "cut at {place}");
    }
    fs::write(&path, [whole.as_slice(), &[0]].concat()).unwrap();
    assert!(read().is_err(), "a byte more");
}

#[test]
fn a_damaged_file_is_computed_again_and_removed() {
    let home = Home::new();
    let mut kv = home.cache(HOST);
    run(&mut kv, "a", &text(0));
    spill_all(&mut kv);
    drop(kv);
    let [path] = home.files().try_into().expect("one file");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let mut kv = home.cache(HOST);
    assert_eq!(run(&mut kv, "a", &text(0)), 0);
    until(|| !path.exists());
    assert_eq!(home.counts.sequences_dropped(), 1);
}

#[test]
fn the_folder_keeps_its_bound_and_forgets_the_least_recently_used() {
    let mut home = Home::new();
    let (bytes, sequence) = ([1; 1000], |number| key("a", &text(number)));
    home.limit = 3 * format::file_length(&sequence(0), 1000);
    let mut spill = home.spill();
    for number in 0..3 {
        assert!(spill.put(&sequence(number), &state(&bytes)));
        settled(&mut spill);
    }
    spill.fetch(&Arc::from("a"), &Arc::from(text(0)));
    settled(&mut spill);
    assert!(spill.put(&sequence(3), &state(&bytes)));
    settled(&mut spill);
    let held = |spill: &Spill| (0..4).filter(|n| spill.holds("a", &text(*n))).collect::<Vec<_>>();
    assert_eq!(held(&spill), [0, 2, 3]);
    assert_eq!(home.files().len(), 3);
    assert!(!spill.put(&sequence(4), &state(&[1; 4000])), "larger than the whole folder");
    drop(spill);
    home.limit = 2 * format::file_length(&sequence(0), 1000);
    assert_eq!(held(&home.spill()).len(), 2, "a smaller bound holds from the start");
    assert_eq!(home.files().len(), 2);
}

#[test]
fn the_times_of_the_files_are_the_order_of_use_for_the_next_process() {
    let mut home = Home::new();
    let mut spill = home.spill();
    for number in 0..3 {
        spill.put(&key("a", &text(number)), &state(&[1; 1000]));
        settled(&mut spill);
    }
    spill.fetch(&Arc::from("a"), &Arc::from(text(0)));
    settled(&mut spill);
    drop(spill);
    home.limit = format::file_length(&key("a", &text(0)), 1000);
    assert!(home.spill().holds("a", &text(0)));
}

#[test]
fn a_writer_that_does_not_keep_up_loses_only_the_cache() {
    let home = Home::new();
    let mut spill = home.spill();
    let taken = (0..20).filter(|n| spill.put(&key("a", &text(*n)), &state(&[1; 100]))).count();
    assert_eq!(taken, super::MOST_WRITING, "what was written is not counted before it is settled");
    settled(&mut spill);
    assert!(spill.put(&key("a", &text(19)), &state(&[1; 100])));
}

#[test]
fn a_longer_turn_takes_the_place_of_the_one_before() {
    let home = Home::new();
    let mut spill = home.spill();
    let longer: Vec<u32> = text(0).into_iter().chain(1..10).collect();
    for tokens in [text(0), longer.clone()] {
        spill.put(&key("a", &tokens), &state(&[1; 100]));
        settled(&mut spill);
    }
    until(|| home.files().len() == 1);
    assert!(spill.holds("a", &longer) && !spill.holds("a", &text(0)));
}

#[test]
fn leftovers_of_a_crash_are_removed_and_the_folder_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let mut spill = home.spill();
    spill.put(&key("subject-name", &text(0)), &state(&[1; 100]));
    settled(&mut spill);
    let [path] = home.files().try_into().expect("one file");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert!(!path.to_string_lossy().contains("subject"));
    drop(spill);
    let leftover = path.with_extension("new");
    fs::copy(&path, &leftover).unwrap();
    let spill = home.spill();
    assert!(!leftover.exists() && spill.holds("subject-name", &text(0)));
}

#[test]
fn a_state_that_the_context_refuses_is_not_tried_again() {
    let home = Home::new();
    let mut spill = home.spill();
    spill.put(&key("a", &text(0)), &state(b"no state of it"));
    settled(&mut spill);
    drop(spill);
    let mut kv = home.cache(HOST);
    assert_eq!(run(&mut kv, "a", &text(0)), 0);
    assert_eq!(kv.spilled_match("a", &text(0), 0), None);
    assert_eq!(home.counts.sequences_dropped(), 1);
}

#[test]
fn a_disk_that_hangs_holds_up_neither_a_request_nor_the_end() {
    let home = Home::new();
    let mut spill = home.spill();
    spill.put(&key("a", &text(0)), &state(&[1; 100]));
    settled(&mut spill);
    let [path] = home.files().try_into().expect("one file");
    fs::remove_file(&path).unwrap();
    // Nobody ever opens the other end of this pipe.
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(spill.longest_match("a", &text(0), 0).is_some());
    spill.fetch(&Arc::from("a"), &Arc::from(text(0)));
    assert!(spill.longest_match("a", &text(0), 0).is_some(), "it is waited for");
    until(|| spill.longest_match("a", &text(0), 0).is_none());
    assert!(spill.is_reading());
    let start = Instant::now();
    drop(spill);
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn a_folder_in_use_is_not_shared_and_not_removed() {
    let home = Home::new();
    let spill = home.spill();
    let settings = spill.settings.clone();
    assert!(Spill::open(settings.clone(), Arc::default()).is_err());
    fs::create_dir(home.folder.path().join("old")).unwrap();
    super::forget_unused(home.folder.path());
    assert!(settings.folder.is_dir() && !home.folder.path().join("old").exists());
    drop(spill);
    super::forget_unused(home.folder.path());
    assert!(!settings.folder.exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is asked in which order, with restarts between: every answer is that of its tokens.
    #[test]
    fn whatever_is_spilled_and_restored_the_kv_is_that_of_the_tokens(
        steps in prop::collection::vec((0_u32..6, 1_u32..4, 0_usize..3, 0_u32..8), 1..24),
    ) {
        let home = Home::new();
        let mut kv = home.cache(HOST);
        for (number, more, tenant, then) in steps {
            let tokens: Vec<u32> = text(number / 2).into_iter().chain((0..more).map(|i| number + i)).collect();
            let reused = run(&mut kv, ["a", "b", "c"][tenant], &tokens);
            prop_assert!(reused < tokens.len());
            match then {
                0 => {
                    kv.spill_rest(Instant::now() + PATIENCE);
                    drop(kv);
                    kv = home.cache(HOST);
                }
                1 | 2 => spill_all(&mut kv),
                3 => for path in home.files().iter().step_by(2) {
                    let mut bytes = fs::read(path).unwrap_or_default();
                    let place = bytes.len() / 2 + number as usize;
                    if let Some(byte) = bytes.get_mut(place) {
                        *byte ^= 0x10;
                        fs::write(path, bytes).unwrap();
                    }
                },
                _ => {}
            }
        }
    }

    /// No bytes are believed that were not written as they are, none panic, and none make the reader allocate much.
    #[test]
    fn no_bytes_of_a_file_get_past_the_checks(
        junk in prop::collection::vec(any::<u8>(), 0..300),
        keep in 0_usize..200,
        lengths in any::<[u32; 3]>(),
    ) {
        let home = Home::new();
        let path = home.folder.path().join("file");
        let mine = key("a", &text(0));
        let mut file = fs::File::create(&path).unwrap();
        format::write(&mut file, &home.identity, &mine, &state(&[1; 200]), || true).unwrap();
        let whole = fs::read(&path).unwrap();
        let mut bytes: Vec<u8> = whole.iter().take(keep).chain(&junk).copied().collect();
        // Lengths that lie, in a head that is right otherwise.
        for (place, length) in [44, 48, 52].into_iter().zip(lengths) {
            if let Some(field) = bytes.get_mut(place..place + 4) {
                field.copy_from_slice(&length.to_le_bytes());
            }
        }
        prop_assume!(bytes != whole);
        fs::write(&path, &bytes).unwrap();
        let length = bytes.len() as u64;
        prop_assert!(format::read_header(&mut bytes.as_slice(), length, &home.identity, LIMITS.window).is_err());
        prop_assert!(format::read(&path, &home.identity, &mine, 1 << 20).is_err());
        prop_assert!(format::read_header(&mut junk.as_slice(), u64::MAX, &home.identity, u32::MAX).is_err());
    }
}
