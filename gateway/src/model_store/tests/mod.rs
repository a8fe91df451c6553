//! Pulling and listing models.

mod server;

use std::cell::Cell;
use std::fs;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use self::server::{Behaviour, FileServer};
use super::*;

/// A megabyte that begins as a GGUF file does and nowhere repeats.
fn content() -> Vec<u8> {
    let numbers = (0_u32..250_000).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes());
    b"GGUF".iter().copied().chain(numbers).collect()
}

fn hash(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

fn behaviour() -> Behaviour {
    Behaviour { content: content(), etag: Some("\"v1\""), ..Behaviour::default() }
}

struct Fixture {
    folder: TempDir,
    store: ModelStore,
    server: FileServer,
}

impl Fixture {
    fn new(behaviour: Behaviour) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = ModelStore::new(folder.path());
        Self { folder, store, server: FileServer::start(behaviour) }
    }

    fn request(&self, path: &str) -> PullRequest {
        let source = PullSource::Url(format!("{}{path}", self.server.url));
        PullRequest { source, sha256: None, name: None, hub: HubAccess::default() }
    }

    fn pull(&self, request: &PullRequest) -> Result<StoredModel, PullError> {
        self.store.pull(request, &|_, _| {})
    }

    /// Every file in the models folder.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join("models")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_model_is_pulled_by_http_and_listed_with_its_hash() {
    let fixture = Fixture::new(behaviour());
    let seen = Cell::new((0, None));
    let model = fixture.store.pull(&fixture.request("/a/model.gguf?token=secret"), &|done, total| {
        seen.set((done, total));
    });
    let model = model.unwrap();
    assert_eq!(fs::read(&model.path).unwrap(), content());
    assert_eq!(
        (model.name.as_str(), model.sha256.as_deref()),
        ("model.gguf", Some(hash(&content()).as_str()))
    );
    assert_eq!(seen.get(), (1_000_004, Some(1_000_004)));
    assert_eq!(fixture.files(), ["model.gguf", "model.gguf.sha256"]);
    assert_eq!(fixture.store.list().unwrap(), std::slice::from_ref(&model));
    assert_eq!(fixture.store.default_model().unwrap(), Some(model.path));
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let fixture = Fixture::new(Behaviour { cuts: vec![300_000, 400_000], ..behaviour() });
    let model = fixture.pull(&fixture.request("/model.gguf")).unwrap();
    assert_eq!(fs::read(&model.path).unwrap(), content());
    let heads = fixture.server.heads.lock();
    assert_eq!(heads.len(), 3);
    assert!(
        heads[1].contains("range: bytes=400000-") && heads[1].contains("if-range: \"v1\""),
        "{}",
        heads[1]
    );
    assert!(heads[2].contains("range: bytes=700000-"), "{}", heads[2]);
}

#[test]
fn a_later_pull_goes_on_too_unless_the_file_has_changed() {
    let fixture = Fixture::new(Behaviour { cuts: vec![0, 0, 0, 0, 500_000], ..behaviour() });
    let request = fixture.request("/model.gguf");
    let error = fixture.pull(&request).unwrap_err();
    assert!(matches!(error, PullError::Transport { .. }), "{error}");
    assert_eq!(fixture.files(), [".model.gguf.partial", ".model.gguf.partial.version"]);
    let mut changed = content();
    changed.reverse();
    changed.splice(..0, *b"GGUF");
    *fixture.server.behaviour.lock() =
        Behaviour { content: changed.clone(), etag: Some("\"v2\""), ..Behaviour::default() };
    let model = fixture.pull(&request).unwrap();
    assert_eq!(fs::read(&model.path).unwrap(), changed);
    assert!(fixture.server.heads.lock().last().unwrap().contains("range: bytes=500000-"));
}

#[test]
fn a_server_without_ranges_or_versions_still_serves() {
    let bare = Behaviour { cuts: vec![300_000], etag: None, ignores_ranges: true, ..behaviour() };
    let fixture = Fixture::new(bare);
    let model = fixture.pull(&fixture.request("/model.gguf")).unwrap();
    assert_eq!(fs::read(&model.path).unwrap(), content());
}

#[test]
fn what_is_not_what_it_must_be_is_thrown_away() {
    let fixture = Fixture::new(behaviour());
    let wrong = PullRequest { sha256: Some("0".repeat(64)), ..fixture.request("/model.gguf") };
    let error = fixture.pull(&wrong).unwrap_err();
    assert!(matches!(&error, PullError::Checksum { actual, .. } if *actual == hash(&content())), "{error}");
    assert!(fixture.files().is_empty());
    let right = PullRequest { sha256: Some(hash(&content())), ..wrong };
    fixture.pull(&right).unwrap();
    let asked = fixture.server.heads.lock().len();
    fixture.pull(&right).unwrap();
    assert_eq!(fixture.server.heads.lock().len(), asked, "what is there is not fetched again");
}

#[test]
fn pages_that_are_no_models_are_refused_at_their_first_bytes() {
    let page = b"<html>log in first</html>".to_vec();
    let fixture = Fixture::new(Behaviour { content: page, ..behaviour() });
    let error = fixture.pull(&fixture.request("/model.gguf?key=secret")).unwrap_err();
    assert!(matches!(error, PullError::NotGguf(_)) && !error.to_string().contains("secret"), "{error}");
    let error = fixture.pull(&fixture.request("/none.gguf?key=secret")).unwrap_err();
    assert!(matches!(error, PullError::Status { status: 404, .. }), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(fixture.files().is_empty(), "{:?}", fixture.files());
}

#[test]
fn redirects_are_followed() {
    let fixture = Fixture::new(behaviour());
    let model = fixture.pull(&fixture.request("/moved.gguf")).unwrap();
    assert_eq!((model.name.as_str(), model.bytes), ("moved.gguf", 1_000_004));
}

#[test]
fn a_file_of_a_hub_is_pulled_at_its_commit_and_checked_by_its_tag() {
    let tag: &'static str = format!("\"{}\"", hash(&content())).leak();
    let fixture = Fixture::new(Behaviour { etag: Some(tag), cuts: vec![600_000], ..behaviour() });
    let hub = HubAccess { endpoint: Some(fixture.server.url.clone()), token: Some("hf_secret".to_owned()) };
    let source = "owner/repo:model.gguf".parse().unwrap();
    let request = PullRequest { source, sha256: None, name: Some("mine.gguf".to_owned()), hub };
    let model = fixture.pull(&request).unwrap();
    assert_eq!((model.name.as_str(), model.sha256), ("mine.gguf", Some(hash(&content()))));
    let heads = fixture.server.heads.lock().clone();
    assert!(heads[0].contains("/owner/repo/resolve/main/model.gguf"), "{}", heads[0]);
    assert!(heads[1].contains("/owner/repo/resolve/abc123/model.gguf"), "{}", heads[1]);
    assert!(heads[1].contains("authorization: bearer hf_secret"), "{}", heads[1]);
    assert!(heads[2].contains("range: bytes=600000-"), "{}", heads[2]);

    fixture.server.behaviour.lock().content[500] ^= 1;
    let again = PullRequest { name: Some("other.gguf".to_owned()), ..request };
    let error = fixture.pull(&again).unwrap_err();
    assert!(matches!(error, PullError::Checksum { .. }), "{error}");
}

#[test]
fn a_local_file_is_taken_and_one_that_is_no_model_is_not() {
    let fixture = Fixture::new(behaviour());
    let path = fixture.folder.path().join("here.gguf");
    fs::write(&path, content()).unwrap();
    let local = |path: &Path| PullRequest {
        source: PullSource::File(path.to_owned()),
        sha256: None,
        name: None,
        hub: HubAccess::default(),
    };
    let model = fixture.pull(&local(&path)).unwrap();
    assert_eq!(model.sha256, Some(hash(&content())));
    assert_eq!(fs::read(&path).unwrap(), content(), "the source stays");
    fs::write(&path, "GG").unwrap();
    let error = fixture.pull(&PullRequest { name: Some("b.gguf".to_owned()), ..local(&path) }).unwrap_err();
    assert!(matches!(error, PullError::NotGguf(_)), "{error}");
}

#[test]
fn only_plain_names_are_files_of_the_store() {
    let fixture = Fixture::new(behaviour());
    for name in ["../a.gguf", ".gguf", ".a.gguf", "a/b.gguf", "a.bin", ""] {
        let request = PullRequest { name: Some(name.to_owned()), ..fixture.request("/model.gguf") };
        assert!(matches!(fixture.pull(&request), Err(PullError::Name(_))), "{name}");
    }
}

#[test]
fn the_default_model_is_named_in_the_list_and_pinned() {
    let fixture = Fixture::new(behaviour());
    let request = PullRequest { name: Some(DEFAULT_MODEL.to_owned()), ..fixture.request("/model.gguf") };
    assert!(
        matches!(fixture.pull(&request), Err(PullError::Checksum { expected, .. }) if expected == DEFAULT_SHA256)
    );
    assert_eq!(fixture.store.default_model().unwrap(), None);
    for name in ["a.gguf", DEFAULT_MODEL] {
        fs::write(fixture.folder.path().join("models").join(name), "GGUF").unwrap();
    }
    let listed = fixture.store.list().unwrap();
    let seen: Vec<_> = listed.iter().map(|model| (model.name.as_str(), model.is_default)).collect();
    assert_eq!(seen, [(DEFAULT_MODEL, true), ("a.gguf", false)]);
}
