//! The known attacks on JWTs. Each is refused, and for the right reason.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;

/// A world, a good token of its own, and that token's parts.
fn setting() -> (World, String, [String; 3]) {
    let world = World::new();
    let token = world.tokens.mint(&new_token("alice")).unwrap().token;
    let parts = parts(&token);
    (world, token, parts)
}

/// Also verified: that nothing refused is remembered as good.
async fn reason(world: &World, token: &str) -> &'static str {
    let first = world.tokens.verify(token).await.unwrap_err();
    assert_eq!(world.tokens.verify(token).await, Err(first));
    first.reason()
}

#[tokio::test]
async fn a_token_without_an_algorithm_is_refused_in_any_casing() {
    let (world, _, [header, payload, signature]) = setting();
    for none in ["none", "None", "NONE", "nOnE", "", " none", "none\u{0}"] {
        let header = part(&but(decoded(&header), &json!({ "alg": none })));
        for signature in ["", signature.as_str()] {
            assert_eq!(reason(&world, &format!("{header}.{payload}.{signature}")).await, "wrong_algorithm");
        }
    }
}

#[tokio::test]
async fn our_public_key_is_no_shared_secret() {
    let (world, _, [header, payload, _]) = setting();
    let jwk = &world.tokens.jwks()["keys"][0];
    let x = jwk["x"].as_str().unwrap();
    for secret in [URL_SAFE_NO_PAD.decode(x).unwrap(), x.into(), jwk.to_string().into_bytes()] {
        let signer = Signer { key: EncodingKey::from_secret(&secret), algorithm: Algorithm::HS256, kid: "" };
        let header = but(decoded(&header), &json!({ "alg": "HS256" }));
        assert_eq!(reason(&world, &signer.sign_as(&header, &decoded(&payload))).await, "wrong_algorithm");
    }
}

#[tokio::test]
async fn an_issuers_public_rsa_key_is_no_shared_secret() {
    let world = World::new();
    let rsa = Signer::rsa(Algorithm::RS256);
    let jwk = rsa.jwk();
    world.published.put(&url(KEYCLOAK), std::slice::from_ref(&jwk));
    let n = jwk["n"].as_str().unwrap();
    for secret in [URL_SAFE_NO_PAD.decode(n).unwrap(), n.into(), jwk.to_string().into_bytes()] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let forger = Signer { key: EncodingKey::from_secret(&secret), algorithm, kid: "rsa" };
            assert_eq!(reason(&world, &forger.sign(&good(KEYCLOAK))).await, "wrong_algorithm");
        }
    }
    assert!(world.tokens.verify(&rsa.sign(&good(KEYCLOAK))).await.is_ok());
}

#[tokio::test]
async fn a_key_signs_with_no_other_algorithm_of_its_family() {
    let world = World::new();
    world.published.put(&url(KEYCLOAK), &[Signer::rsa(Algorithm::RS256).jwk()]);
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        let token = Signer::rsa(algorithm).sign(&good(KEYCLOAK));
        assert_eq!(reason(&world, &token).await, "wrong_algorithm");
    }
}

#[tokio::test]
async fn a_key_name_is_looked_up_and_never_followed() {
    let (world, _, [header, payload, signature]) = setting();
    let names = [
        "../../../../dev/null",
        "/etc/passwd",
        "x' UNION SELECT 'secret' --",
        "key; cat /etc/passwd",
        "http://127.0.0.1:1/keys",
        "file:///dev/null",
        "\u{0}",
        "",
    ];
    for name in names {
        let header = part(&but(decoded(&header), &json!({ "kid": name })));
        assert_eq!(reason(&world, &format!("{header}.{payload}.{signature}")).await, "unknown_key");
        // The content of /dev/null, and of a row that is not there.
        let empty = Signer { key: EncodingKey::from_secret(b""), algorithm: Algorithm::HS256, kid: "" };
        let forged = empty.sign_as(&json!({ "alg": "HS256", "kid": name }), &decoded(&payload));
        assert_eq!(reason(&world, &forged).await, "unknown_key");
    }
    for header in [json!({ "alg": "EdDSA" }), json!({ "alg": "EdDSA", "kid": null })] {
        assert_eq!(reason(&world, &format!("{}.{payload}.{signature}", part(&header))).await, "unknown_key");
    }
}

#[tokio::test]
async fn a_key_that_the_token_brings_or_points_to_is_not_used() {
    let (world, _, [header, payload, _]) = setting();
    let forger = Signer::ed("mine");
    let headers = [
        json!({ "jwk": forger.jwk() }),
        json!({ "jku": "https://attacker.example/keys" }),
        json!({ "x5u": "https://attacker.example/cert" }),
        json!({ "x5c": [STANDARD.encode("certificate")] }),
        json!({ "jwk": forger.jwk(), "jku": url(KEYCLOAK), "x5t": "AAAA" }),
    ];
    for brought in headers {
        let ours = but(decoded(&header), &brought);
        assert_eq!(reason(&world, &forger.sign_as(&ours, &decoded(&payload))).await, "bad_signature");
        let theirs = but(ours, &json!({ "kid": "mine" }));
        assert_eq!(reason(&world, &forger.sign_as(&theirs, &decoded(&payload))).await, "unknown_key");
    }
    assert_eq!(world.published.calls(), 0);
}

#[tokio::test]
async fn a_critical_extension_is_refused_since_none_is_known() {
    let world = World::new();
    let signer = Signer::ed("ed");
    world.published.put(&url(KEYCLOAK), &[signer.jwk()]);
    let header = but(signer.header(), &json!({ "crit": ["b64"], "b64": false }));
    assert_eq!(reason(&world, &signer.sign_as(&header, &good(KEYCLOAK))).await, "malformed");
}

#[tokio::test]
async fn a_changed_payload_is_refused() {
    let (world, token, [header, payload, signature]) = setting();
    let changes = [
        json!({ "role": "admin" }),
        json!({ "sub": "root" }),
        json!({ "exp": START + 9_999_999 }),
        json!({ "role": null }),
    ];
    for change in changes {
        let payload = part(&but(decoded(&payload), &change));
        assert_eq!(reason(&world, &format!("{header}.{payload}.{signature}")).await, "bad_signature");
    }
    // Another encoding of the same claims is another message.
    let spaced = URL_SAFE_NO_PAD.encode(format!("{} ", decoded(&payload)));
    assert_eq!(reason(&world, &format!("{header}.{spaced}.{signature}")).await, "bad_signature");
    assert!(world.tokens.verify(&token).await.is_ok());
}

#[tokio::test]
async fn a_signature_of_another_token_is_refused() {
    let (world, _, [header, payload, _]) = setting();
    let other = world.tokens.mint(&new_token("mallory")).unwrap().token;
    let [_, _, signature] = parts(&other);
    assert_eq!(reason(&world, &format!("{header}.{payload}.{signature}")).await, "bad_signature");
    assert_eq!(reason(&world, &format!("{header}.{payload}.")).await, "bad_signature");
}

#[tokio::test]
async fn a_token_cut_at_any_length_or_with_anything_behind_it_is_refused() {
    let (world, token, _) = setting();
    for length in 0..token.len() {
        assert!(world.tokens.verify(&token[..length]).await.is_err(), "{length}");
        assert!(world.tokens.verify(&token[token.len() - length..]).await.is_err(), "{length}");
    }
    for behind in [".", "=", "A", " ", "\n", "\u{0}", ".."] {
        assert!(world.tokens.verify(&format!("{token}{behind}")).await.is_err(), "{behind:?}");
        assert!(world.tokens.verify(&format!("{behind}{token}")).await.is_err(), "{behind:?}");
    }
}

#[tokio::test]
async fn any_changed_character_ends_a_token() {
    let (world, token, _) = setting();
    for index in 0..token.len() {
        for other in ["A", "_", ".", "+", "é"] {
            let changed = format!("{}{other}{}", &token[..index], &token[index + 1..]);
            assert!(changed == token || world.tokens.verify(&changed).await.is_err(), "{changed}");
        }
    }
}

#[tokio::test]
async fn a_huge_token_is_refused_before_it_is_read() {
    let (world, _, [header, payload, signature]) = setting();
    for token in
        ["a".repeat(8193), ".".repeat(100_000), format!("{header}.{payload}.{signature}{}", "A".repeat(8192))]
    {
        assert_eq!(reason(&world, &token).await, "too_long");
    }
    assert_eq!(reason(&world, &"a".repeat(8192)).await, "malformed");
}

#[tokio::test]
async fn garbage_is_malformed() {
    let (world, _, [header, payload, signature]) = setting();
    let nested = URL_SAFE_NO_PAD.encode("[".repeat(5000));
    let list = part(&json!(["EdDSA", "kid"]));
    let garbage = [
        String::new(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        "\u{0}.\u{0}.\u{0}".to_owned(),
        "ｅｙＪ.ｅｙＪ.ｅｙＪ".to_owned(),
        "🦀🦀🦀.🦀.🦀".to_owned(),
        format!("{nested}.{payload}.{signature}"),
        format!("{header}.{nested}.{signature}"),
        format!("{list}.{payload}.{signature}"),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!("{header}.{payload}.===="),
        format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode(b"\xff\xfe{}")),
        format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode(br#"{"alg":"EdDSA","alg":"none"}"#)),
        format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(br#"{"iss":"sluice","iss":"b"}"#)),
    ];
    for token in garbage {
        assert_eq!(reason(&world, &token).await, "malformed", "{token}");
    }
}

#[test]
fn a_client_is_told_nothing_that_helps_guessing() {
    use TokenError as E;
    let same =
        [E::Malformed, E::WrongIssuer, E::WrongAudience, E::BadSignature, E::UnknownKey, E::WrongAlgorithm];
    for error in same.into_iter().chain([E::TooLong, E::MissingClaim]) {
        assert_eq!(error.to_string(), "the token is not valid");
    }
}

#[test]
fn no_random_text_is_a_token_or_a_panic() {
    let (world, token, [header, payload, signature]) = setting();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let strategy = (".{0,300}", prop::collection::vec(any::<u8>(), 0..200));
    let refused = |(text, bytes): (String, Vec<u8>)| {
        let encoded = URL_SAFE_NO_PAD.encode(&bytes);
        let candidates = [
            text.clone(),
            format!("{encoded}.{payload}.{signature}"),
            format!("{header}.{encoded}.{signature}"),
            format!("{header}.{payload}.{encoded}"),
            format!("{header}.{payload}.{text}"),
            format!("{token}{text}."),
        ];
        for candidate in candidates {
            prop_assert!(runtime.block_on(world.tokens.verify(&candidate)).is_err());
        }
        Ok(())
    };
    TestRunner::default().run(&strategy, refused).unwrap();
}

/// A verifier of Keycloak's tokens, and the key that it knows.
fn trusted() -> (Signer, Verifier) {
    let pair = KeyRecord::generate(SigningAlgorithm::EdDsa, 0).key_pair().unwrap();
    let signer = Signer { key: pair.signing, algorithm: Algorithm::EdDSA, kid: "ed" };
    let (kid, algorithm, key) = ("ed".to_owned(), Algorithm::EdDSA, pair.verifying);
    let key = verify::VerifyingKey { kid, algorithm, key, until: None };
    let rules = issuer("keycloak", KEYCLOAK).rules(&known()).unwrap();
    (signer, Verifier::new(Arc::new(rules), vec![key]))
}

#[test]
fn a_verifier_asked_directly_believes_its_own_issuer_only() {
    let (signer, verifier) = trusted();
    assert!(verifier.verify(&signer.sign(&good(KEYCLOAK)), START).is_ok());
    for iss in [json!(AUTH0), json!("sluice"), json!(""), json!([AUTH0])] {
        let token = signer.sign(&but(good(KEYCLOAK), &json!({ "iss": iss })));
        assert_eq!(verifier.verify(&token, START), Err(TokenError::WrongIssuer));
    }
    let nobody = signer.sign(&but(good(KEYCLOAK), &json!({ "iss": null })));
    assert_eq!(verifier.verify(&nobody, START), Err(TokenError::MissingClaim));
}

proptest! {
    #[test]
    fn no_random_claims_of_a_trusted_issuer_are_a_panic(
        exp in any::<i64>(),
        nbf in any::<f64>(),
        sub in ".{0,20}",
    ) {
        let (signer, verifier) = trusted();
        let claims = but(good(KEYCLOAK), &json!({ "exp": exp, "nbf": nbf, "sub": sub }));
        let verified = verifier.verify(&signer.sign(&claims), START);
        let in_time = exp > 0 && exp.unsigned_abs() + 10 > START && (!nbf.is_finite() || nbf <= 1.8e9 + 11.0);
        prop_assert!(in_time || verified.is_err());
    }
}
