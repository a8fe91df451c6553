//! Key sets as issuers publish them, and as they should not.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::super::jwks::parse;
use super::*;

const ALL: [Algorithm; 7] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The names and algorithms of the keys that can be used.
fn usable(keys: &[Value], allowed: &[Algorithm]) -> Vec<(String, Algorithm)> {
    match parse(json!({ "keys": keys }).to_string().as_bytes(), allowed) {
        Ok(keys) => keys.into_iter().map(|key| (key.kid, key.algorithm)).collect(),
        Err(error) => {
            assert!(matches!(error, JwksError::Empty), "{error}");
            Vec::new()
        }
    }
}

fn rsa() -> Value {
    Signer::rsa(Algorithm::RS256).jwk()
}

#[test]
fn a_key_that_is_not_for_verifying_or_not_understood_is_skipped_alone() {
    let good = Signer::ed("good");
    let keys = [
        but(rsa(), &json!({ "use": "enc" })),
        but(rsa(), &json!({ "use": null, "key_ops": ["encrypt"] })),
        but(rsa(), &json!({ "kty": "XYZ" })),
        but(rsa(), &json!({ "kid": null })),
        but(rsa(), &json!({ "kid": 7 })),
        but(rsa(), &json!({ "alg": "RSA-OAEP" })),
        but(rsa(), &json!({ "alg": "HS256" })),
        but(rsa(), &json!({ "alg": "none" })),
        json!({ "kty": "oct", "kid": "oct", "alg": "HS256", "k": "c2VjcmV0" }),
        json!({ "kty": "OKP", "kid": "x", "crv": "X25519", "x": "A".repeat(43) }),
        json!({ "kty": "EC", "kid": "k", "crv": "secp256k1", "x": "AA", "y": "AA" }),
        json!("key"),
        json!(null),
        good.jwk(),
    ];
    assert_eq!(usable(&keys, &ALL), [("good".to_owned(), Algorithm::EdDSA)]);
}

#[test]
fn numbers_of_the_wrong_size_make_no_key() {
    let (ed, ec) = (Signer::ed("ed").jwk(), Signer::p256().jwk());
    let keys = [
        but(ed.clone(), &json!({ "x": "" })),
        but(ed.clone(), &json!({ "x": "AAAA" })),
        but(ed.clone(), &json!({ "x": "A".repeat(44) })),
        but(ed.clone(), &json!({ "x": "*".repeat(43) })),
        but(ed, &json!({ "x": null })),
        but(ec.clone(), &json!({ "y": null })),
        but(ec.clone(), &json!({ "y": "AAAA" })),
        but(ec, &json!({ "crv": "P-384", "alg": "ES384" })),
        but(rsa(), &json!({ "n": "AQAB" })),
        but(rsa(), &json!({ "n": URL_SAFE_NO_PAD.encode([255; 128]) })),
        but(rsa(), &json!({ "n": URL_SAFE_NO_PAD.encode([255; 513]) })),
        but(rsa(), &json!({ "e": "" })),
        but(rsa(), &json!({ "e": "AQ" })),
        but(rsa(), &json!({ "e": "AAAB" })),
        but(rsa(), &json!({ "e": "Ag" })),
        but(rsa(), &json!({ "e": "AQAAAAAB" })),
        but(rsa(), &json!({ "e": null })),
    ];
    assert_eq!(usable(&keys, &ALL), []);
    assert_eq!(usable(&[but(rsa(), &json!({ "e": "Aw" }))], &ALL).len(), 1);
}

#[test]
fn numbers_of_the_right_size_that_are_no_key_verify_nothing() {
    let nonsense = |byte: u8, size: usize| URL_SAFE_NO_PAD.encode(vec![byte; size]);
    let rules = Arc::new(issuer("keycloak", KEYCLOAK).rules(&known()).unwrap());
    let signers =
        [Signer::rsa(Algorithm::RS256), Signer::rsa(Algorithm::PS256), Signer::p256(), Signer::p384()];
    for signer in signers.into_iter().chain([Signer::ed("ed")]) {
        let size = if signer.kid == "p384" { 48 } else { 32 };
        for byte in [1, 2, 127, 128, 254, 255] {
            let number = nonsense(byte, size);
            let jwk = but(signer.jwk(), &json!({ "x": number, "y": number, "n": nonsense(byte, 256) }));
            let set = json!({ "keys": [jwk] }).to_string();
            let verifier = Verifier::new(Arc::clone(&rules), parse(set.as_bytes(), &ALL).unwrap());
            let refused = verifier.verify(&signer.sign(&good(KEYCLOAK)), START);
            assert_eq!(refused, Err(TokenError::BadSignature), "{} {byte}", signer.kid);
        }
    }
}

#[test]
fn a_key_without_an_algorithm_is_for_the_first_configured_one_that_fits() {
    let keys =
        [rsa(), Signer::p256().jwk(), Signer::p384().jwk()].map(|key| but(key, &json!({ "alg": null })));
    let of =
        |allowed: &[Algorithm]| usable(&keys, allowed).into_iter().map(|(_, algorithm)| algorithm).collect();
    let algorithms: Vec<Algorithm> = of(&ALL);
    assert_eq!(algorithms, [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384]);
    let algorithms: Vec<Algorithm> = of(&[Algorithm::ES256, Algorithm::PS256, Algorithm::RS256]);
    assert_eq!(algorithms, [Algorithm::PS256, Algorithm::ES256]);
}

#[test]
fn a_key_that_states_an_algorithm_which_is_not_configured_is_skipped() {
    assert_eq!(usable(&[Signer::rsa(Algorithm::RS512).jwk()], &[Algorithm::RS256]), []);
}

#[test]
fn of_two_keys_with_one_name_the_first_counts() {
    let (first, second) = (Signer::ed("same"), Signer::ed("same"));
    let set = json!({ "keys": [first.jwk(), second.jwk()] }).to_string();
    let rules = Arc::new(issuer("keycloak", KEYCLOAK).rules(&known()).unwrap());
    let verifier = Verifier::new(rules, parse(set.as_bytes(), &ALL).unwrap());
    assert!(verifier.verify(&first.sign(&good(KEYCLOAK)), START).is_ok());
    let refused = verifier.verify(&second.sign(&good(KEYCLOAK)), START);
    assert_eq!(refused, Err(TokenError::BadSignature));
}

#[test]
fn what_is_no_key_set_is_an_error() {
    for body in ["", "[]", "{}", "{\"keys\":{}}", "<html>", "{\"keys\":[]", &"[".repeat(100_000)] {
        assert!(matches!(parse(body.as_bytes(), &ALL), Err(JwksError::Malformed(_))), "{body:.20}");
    }
    assert!(matches!(parse(b"{\"keys\":[]}", &ALL), Err(JwksError::Empty)));
}

/// Answers one request with `answer`, and gives the URL for it.
fn serve(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).unwrap() > 0);
        // The client may have heard enough.
        drop(stream.write_all(&answer));
        std::thread::sleep(Duration::from_secs(2));
    });
    url
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[test]
fn a_key_set_is_fetched_over_http() {
    let set = json!({ "keys": [rsa()] }).to_string();
    let body = HttpFetch::default().fetch(&serve(ok(&set))).unwrap();
    assert_eq!(parse(&body, &ALL).unwrap().len(), 1);
}

#[test]
fn a_key_set_that_is_too_long_is_not_read_to_its_end() {
    let longest = " ".repeat(256 * 1024);
    assert_eq!(HttpFetch::default().fetch(&serve(ok(&longest))).unwrap().len(), longest.len());
    let error = HttpFetch::default().fetch(&serve(ok(&format!("{longest} ")))).unwrap_err();
    assert!(matches!(error, JwksError::Transport(_)), "{error}");
}

#[test]
fn a_redirection_is_not_followed_and_an_error_is_no_key_set() {
    let elsewhere = serve(ok("{}"));
    let moved = format!("HTTP/1.1 302 Found\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n");
    let error = HttpFetch::default().fetch(&serve(moved.into_bytes())).unwrap_err();
    assert!(matches!(error, JwksError::Status(302)), "{error}");
    let gone = b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\n{}".to_vec();
    let error = HttpFetch::default().fetch(&serve(gone)).unwrap_err();
    assert!(matches!(error, JwksError::Status(500)), "{error}");
}

#[test]
fn an_issuer_that_hangs_is_not_waited_for() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec();
    for answer in [Vec::new(), b"HTTP/1.1 200".to_vec(), half] {
        let begun = std::time::Instant::now();
        let error = HttpFetch::with_patience(Duration::from_millis(100)).fetch(&serve(answer)).unwrap_err();
        assert!(matches!(error, JwksError::Transport(_)), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}
