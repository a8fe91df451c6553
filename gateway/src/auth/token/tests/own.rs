//! Our own tokens: minting, rotation, and the file of their keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn open(folder: &TempDir, clock: &Clock) -> Result<SigningKeys, KeyFileError> {
    SigningKeys::open(SigningConfig::default(), folder.path(), clock.clone())
}

fn verify(keys: &SigningKeys, token: &str, now: u64) -> Result<Verified, TokenError> {
    keys.verifier().verify(token, now)
}

fn setting() -> (TempDir, Clock, SigningKeys) {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(START * 1000));
    let keys = open(&folder, &clock).unwrap();
    (folder, clock, keys)
}

#[test]
fn a_minted_token_proves_what_it_was_minted_for() {
    let (_folder, _, keys) = setting();
    let minted = keys.mint(&new_token("alice")).unwrap();
    assert_eq!(minted.expires_at, START + 3600);
    let expected = Verified {
        subject: "alice".into(),
        role: Some("user".into()),
        issuer: Issuer::Own,
        jti: Some(minted.jti),
        issued_at: Some(START),
        expires_at: START + 3600,
        good_until: START + 3600,
    };
    assert_eq!(verify(&keys, &minted.token, START), Ok(expected));
}

#[test]
fn two_tokens_have_two_names() {
    let (_folder, _, keys) = setting();
    let [first, second] = [(); 2].map(|()| keys.mint(&new_token("alice")).unwrap());
    assert_ne!(first.jti, second.jti);
    assert_ne!(first.token, second.token);
}

#[test]
fn a_token_with_a_note_and_without_a_role_is_verified() {
    let (_folder, _, keys) = setting();
    let new = NewToken { role: None, note: Some("for the nightly job".to_owned()), ..new_token("ci") };
    let minted = keys.mint(&new).unwrap();
    assert_eq!(verify(&keys, &minted.token, START).unwrap().role, None);
    assert_eq!(decoded(&parts(&minted.token)[1])["note"], "for the nightly job");
}

#[test]
fn a_token_ends_to_the_second_and_begins_to_the_second() {
    let (_folder, _, keys) = setting();
    let new = NewToken { not_before: Some(START + 60), ..new_token("alice") };
    let token = keys.mint(&new).unwrap().token;
    assert_eq!(verify(&keys, &token, START + 59), Err(TokenError::NotYetValid));
    assert!(verify(&keys, &token, START + 60).is_ok());
    assert!(verify(&keys, &token, START + 3599).is_ok());
    assert_eq!(verify(&keys, &token, START + 3600), Err(TokenError::Expired));
}

#[test]
fn what_could_not_be_verified_is_not_minted() {
    let (_folder, _, keys) = setting();
    let base = new_token("alice");
    let wrong = [
        NewToken { subject: String::new(), ..base.clone() },
        NewToken { subject: "a".repeat(257), ..base.clone() },
        NewToken { subject: "alice\nadmin".to_owned(), ..base.clone() },
        NewToken { role: Some(String::new()), ..base.clone() },
        NewToken { note: Some("n".repeat(257)), ..base.clone() },
        NewToken { expires_in: Duration::ZERO, ..base.clone() },
        NewToken { expires_in: Duration::from_hours(25), ..base.clone() },
        NewToken { expires_in: Duration::MAX, ..base.clone() },
        NewToken { not_before: Some(START + 3600), ..base.clone() },
    ];
    for new in wrong {
        assert!(keys.mint(&new).is_err(), "{new:?}");
    }
    assert!(keys.mint(&NewToken { subject: "ü".repeat(128), ..base }).is_ok());
}

#[test]
fn after_a_rotation_the_old_key_verifies_until_the_overlap_ends_and_not_after() {
    let (folder, _, keys) = setting();
    let new = NewToken { expires_in: Duration::from_hours(24), ..new_token("alice") };
    let old = keys.mint(&new).unwrap().token;
    let kid = keys.rotate(Some(Duration::from_mins(10))).unwrap();
    let young = keys.mint(&new).unwrap().token;
    assert_eq!(decoded(&parts(&young)[0])["kid"], json!(kid));

    for keys in [&keys, &open(&folder, &Clock::manual(START * 1000)).unwrap()] {
        assert!(verify(keys, &old, START + 599).is_ok());
        assert_eq!(verify(keys, &old, START + 600), Err(TokenError::UnknownKey));
        assert!(verify(keys, &young, START + 600).is_ok());
    }
}

#[test]
fn without_an_overlap_given_no_token_ends_before_its_time() {
    let (_folder, _, keys) = setting();
    let new = NewToken { expires_in: Duration::from_hours(24), ..new_token("alice") };
    let token = keys.mint(&new).unwrap().token;
    keys.rotate(None).unwrap();
    assert!(verify(&keys, &token, START + 86_399).is_ok());
    assert!(verify(&keys, &token, START + 86_400).is_err());
}

#[test]
fn a_leaked_key_can_be_retired_at_once() {
    let (_folder, _, keys) = setting();
    let token = keys.mint(&new_token("alice")).unwrap().token;
    keys.rotate(Some(Duration::ZERO)).unwrap();
    assert_eq!(verify(&keys, &token, START), Err(TokenError::UnknownKey));
}

#[test]
fn a_key_whose_time_is_over_leaves_the_key_set_and_then_the_file() {
    let (folder, clock, keys) = setting();
    let count = |keys: &SigningKeys| keys.jwks()["keys"].as_array().unwrap().len();
    keys.rotate(Some(Duration::from_mins(10))).unwrap();
    assert_eq!(count(&keys), 2);
    clock.advance(600_000);
    assert_eq!(count(&keys), 1);
    keys.rotate(None).unwrap();
    let file: Value =
        serde_json::from_slice(&fs::read(folder.path().join("signing-keys.json")).unwrap()).unwrap();
    assert_eq!(file["keys"].as_array().unwrap().len(), 2);
}

#[test]
fn the_key_set_has_the_public_half_and_nothing_else() {
    let (folder, _, keys) = setting();
    let set = keys.jwks();
    let key = set["keys"][0].as_object().unwrap();
    let mut names: Vec<&str> = key.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x"]);
    assert_eq!(URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap().len(), 32);
    let file: Value =
        serde_json::from_slice(&fs::read(folder.path().join("signing-keys.json")).unwrap()).unwrap();
    assert!(!set.to_string().contains(file["keys"][0]["secret"].as_str().unwrap()));
}

#[test]
fn a_shared_secret_is_in_no_key_set() {
    let folder = tempfile::tempdir().unwrap();
    let config = SigningConfig { algorithm: SigningAlgorithm::Hs256, ..SigningConfig::default() };
    let keys = SigningKeys::open(config, folder.path(), Clock::manual(START * 1000)).unwrap();
    assert_eq!(keys.jwks(), json!({ "keys": [] }));
    let token = keys.mint(&new_token("alice")).unwrap().token;
    assert_eq!(decoded(&parts(&token)[0])["alg"], "HS256");
    assert!(verify(&keys, &token, START).is_ok());
}

#[test]
fn another_configured_algorithm_makes_a_new_key_and_keeps_the_old_tokens() {
    let (folder, clock, keys) = setting();
    let old = keys.mint(&new_token("alice")).unwrap().token;
    let config = SigningConfig { algorithm: SigningAlgorithm::Hs256, ..SigningConfig::default() };
    let keys = SigningKeys::open(config, folder.path(), clock).unwrap();
    let young = keys.mint(&new_token("alice")).unwrap().token;
    assert_eq!(decoded(&parts(&young)[0])["alg"], "HS256");
    assert!(verify(&keys, &old, START).is_ok() && verify(&keys, &young, START).is_ok());
}

#[test]
fn the_key_file_is_its_owners_only_and_the_next_start_takes_the_same_key() {
    let (folder, clock, keys) = setting();
    let token = keys.mint(&new_token("alice")).unwrap().token;
    keys.rotate(None).unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
    assert!(verify(&open(&folder, &clock).unwrap(), &token, START).is_ok());
}

#[test]
fn what_a_crash_left_behind_is_in_nobodys_way() {
    let (folder, _, keys) = setting();
    let left = folder.path().join("signing-keys.json.new");
    fs::write(&left, "{\"keys\":[{\"ki").unwrap();
    keys.rotate(None).unwrap();
    assert!(!left.exists());
}

#[test]
fn a_corrupt_key_file_is_a_clear_error_and_stays_as_it_is() {
    let (folder, clock, _) = setting();
    let path = folder.path().join("signing-keys.json");
    let text = fs::read_to_string(&path).unwrap();
    let secret =
        serde_json::from_str::<Value>(&text).unwrap()["keys"][0]["secret"].as_str().unwrap().to_owned();
    let wrong = [
        String::new(),
        "\0\0\0\0".to_owned(),
        "{\"keys\":[]}".to_owned(),
        text[..text.len() / 2].to_owned(),
        text.replace("EdDSA", "none"),
        text.replace("\"active\"", "\"retired\""),
        text.replace(&secret, &secret[1..]),
        text.replace(&format!("\"{secret}\""), "7"),
        text.replacen("\"kid\"", &format!("\"{secret}\""), 1),
    ];
    for corrupt in wrong {
        fs::write(&path, &corrupt).unwrap();
        let error = open(&folder, &clock).unwrap_err().to_string();
        assert!(error.contains("signing-keys.json does not hold signing keys"), "{error}");
        assert!(error.contains("restore it, or delete it") && !error.contains(&secret), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), corrupt);
    }
}

#[test]
fn a_folder_that_cannot_be_is_an_error_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = SigningKeys::open(SigningConfig::default(), &file, Clock::manual(0)).unwrap_err();
    assert!(error.to_string().contains("cannot use the signing keys"), "{error}");
}

#[test]
fn what_another_process_rotated_is_taken_over() {
    let (folder, clock, keys) = setting();
    let other = open(&folder, &clock).unwrap();
    other.rotate(None).unwrap();
    let token = other.mint(&new_token("alice")).unwrap().token;
    assert_eq!(verify(&keys, &token, START), Err(TokenError::UnknownKey));
    keys.reload().unwrap();
    assert!(verify(&keys, &token, START).is_ok());
    fs::write(folder.path().join("signing-keys.json"), "").unwrap();
    assert!(keys.reload().is_err());
    assert!(verify(&keys, &token, START).is_ok());
}

#[test]
fn processes_that_start_and_rotate_at_once_lose_no_key() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(START * 1000));
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let one = || {
            let keys = open(&folder, &clock).unwrap();
            keys.rotate(None).unwrap();
            keys.mint(&new_token("alice")).unwrap().token
        };
        let threads = [(); 4].map(|()| scope.spawn(one));
        threads.map(|thread| thread.join().unwrap()).into()
    });
    let keys = open(&folder, &clock).unwrap();
    assert_eq!(keys.jwks()["keys"].as_array().unwrap().len(), 5);
    for token in tokens {
        assert!(verify(&keys, &token, START).is_ok());
    }
}

#[test]
fn nothing_secret_is_shown_by_debug() {
    let (folder, _, keys) = setting();
    let minted = keys.mint(&new_token("alice")).unwrap();
    let file: Value =
        serde_json::from_slice(&fs::read(folder.path().join("signing-keys.json")).unwrap()).unwrap();
    let shown = format!("{keys:?} {minted:?}");
    assert!(!shown.contains(file["keys"][0]["secret"].as_str().unwrap()), "{shown}");
    assert!(!shown.contains(&minted.token), "{shown}");
}
