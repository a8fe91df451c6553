//! Forged, foreign, ended and mutilated tokens: all refused, and all in the same words.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tests::Gateway;
use tests::jwt::{Signer, but, bytes, good_claims, now, part};
use tests::rights::{self, patch};

use super::{Refusal, WHOAMI, client, gateway};

const HMACS: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

/// A gateway, its own signer, and how it refuses; a good token proves first that the signer is believed.
async fn setting() -> (Gateway, Signer, Refusal) {
    let gateway = gateway().await;
    let signer = Signer::of(gateway.data());
    let who = client(&gateway, &signer.sign(&good_claims())).get(WHOAMI).await.ok();
    assert_eq!(who["role"], "admin", "what the attacks differ from is accepted");
    let refusal = Refusal::of(&gateway).await;
    (gateway, signer, refusal)
}

#[tokio::test]
async fn no_algorithm_is_no_signature() {
    let (gateway, signer, refusal) = setting().await;
    let good = signer.sign(&good_claims());
    let signature = good.rsplit('.').next().expect("a signature");
    for none in ["none", "None", "NONE", "nOnE", "", "none\u{0}"] {
        let message =
            format!("{}.{}", part(&but(signer.header(), &json!({"alg": none}))), part(&good_claims()));
        for signature in ["", signature] {
            refusal.meets(&gateway, &format!("{message}.{signature}"), none).await;
        }
        refusal.meets(&gateway, &message, none).await;
    }
}

#[tokio::test]
async fn the_public_key_is_no_shared_secret() {
    let (gateway, signer, refusal) = setting().await;
    let jwks = gateway.http().get("/.well-known/jwks.json").await;
    let jwk = jwks.ok()["keys"][0].clone();
    let x = jwk["x"].as_str().expect("a public key");
    let secrets =
        [bytes(x), x.into(), jwk.to_string().into_bytes(), jwks.body.clone(), pem(&bytes(x)), vec![]];
    for (secret, algorithm) in secrets.iter().flat_map(|secret| HMACS.map(|algorithm| (secret, algorithm))) {
        let forger = Signer::shared(secret, algorithm, &signer.kid);
        for alg in [format!("{algorithm:?}"), "EdDSA".into(), "RS256".into(), "ES256".into()] {
            let header = but(forger.header(), &json!({"alg": alg}));
            refusal.meets(&gateway, &forger.sign_as(&header, &good_claims()), &alg).await;
        }
    }
}

/// The public key as a program would have it in a file.
fn pem(public: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let spki = [[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00].as_slice(), public];
    let text = base64::engine::general_purpose::STANDARD.encode(spki.concat());
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n").into_bytes()
}

#[tokio::test]
async fn a_true_signature_under_another_algorithm_is_refused() {
    let (gateway, signer, refusal) = setting().await;
    for alg in ["HS256", "HS512", "RS256", "PS256", "ES256", "ES384", "eddsa", "EdDSA "] {
        let header = but(signer.header(), &json!({"alg": alg}));
        refusal.meets(&gateway, &signer.sign_as(&header, &good_claims()), alg).await;
    }
}

#[tokio::test]
async fn a_kid_is_a_name_and_never_a_place() {
    let (gateway, signer, refusal) = setting().await;
    let own = signer.kid.clone();
    let kids = [
        json!("../../etc/passwd"),
        json!("/dev/null"),
        json!("file:///dev/null"),
        json!("http://127.0.0.1:1/key"),
        json!("' UNION SELECT 'secret' --"),
        json!("; cat /dev/null"),
        json!("\u{0}"),
        json!(format!("{own}\u{0}")),
        json!(format!("{own} ")),
        json!(format!("./{own}")),
        json!("k".repeat(5000)),
        json!(""),
        json!(0),
        json!([own]),
        json!({"kid": own}),
        Value::Null,
    ];
    // What such a kid would lead to: nothing, a line of a known file, or the attacker's own key.
    let forgers = [
        Signer::shared(b"", Algorithm::HS256, ""),
        Signer::shared(b"secret", Algorithm::HS256, ""),
        Signer::ed25519(&[7; 32], ""),
        signer,
    ];
    for (kid, forger) in kids.iter().flat_map(|kid| forgers.iter().map(move |forger| (kid, forger))) {
        let header = but(forger.header(), &json!({"kid": kid}));
        refusal.meets(&gateway, &forger.sign_as(&header, &good_claims()), &kid.to_string()).await;
    }
}

#[tokio::test]
async fn keys_that_a_token_brings_or_points_to_are_not_followed() {
    let (gateway, signer, refusal) = setting().await;
    let trap = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    trap.set_nonblocking(true).expect("a socket's option");
    let url = format!("http://{}/jwks.json", trap.local_addr().expect("an address"));
    // The public key of 32 times 7, and a certificate that is none.
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "mine",
        "x": "6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw"});
    let brought = [
        json!({"jku": url}),
        json!({"x5u": url}),
        json!({"jwk": jwk}),
        json!({"x5c": ["MIIB"], "x5t": "abc"}),
        json!({"jku": url, "x5u": url, "jwk": jwk}),
    ];
    let mallory = Signer::ed25519(&[7; 32], "mine");
    for header in &brought {
        let what = header.to_string();
        let forged = mallory.sign_as(&but(mallory.header(), header), &good_claims());
        refusal.meets(&gateway, &forged, &what).await;
        let posing = mallory.sign_as(&but(signer.header(), header), &good_claims());
        refusal.meets(&gateway, &posing, &what).await;
        let genuine = signer.sign_as(&but(signer.header(), header), &good_claims());
        client(&gateway, &genuine).get(WHOAMI).await.ok();
    }
    let critical = but(signer.header(), &json!({"crit": ["b64"], "b64": false}));
    refusal.meets(&gateway, &signer.sign_as(&critical, &good_claims()), "crit").await;
    assert!(trap.accept().is_err(), "the gateway went where a token sent it");
}

#[tokio::test]
async fn claims_that_do_not_hold_are_refused_however_well_signed() {
    let (gateway, signer, refusal) = setting().await;
    let now = now();
    for changes in [
        json!({"exp": now - 1}),
        json!({"exp": 0}),
        json!({"exp": -1}),
        json!({"exp": 1e300}),
        json!({"exp": (now + 600).to_string()}),
        json!({"exp": null}),
        json!({"nbf": now + 300}),
        json!({"nbf": "now"}),
        json!({"iss": "somebody"}),
        json!({"iss": "Sluice"}),
        json!({"iss": ["sluice"]}),
        json!({"iss": null}),
        json!({"aud": "another"}),
        json!({"aud": ["another", "third"]}),
        json!({"aud": []}),
        json!({"aud": null}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 1}),
        json!({"sub": "a\nb"}),
        json!({"sub": "s".repeat(300)}),
    ] {
        let token = signer.sign(&but(good_claims(), &changes));
        refusal.meets(&gateway, &token, &changes.to_string()).await;
    }
}

#[tokio::test]
async fn a_tampered_claim_breaks_the_signature() {
    let (gateway, _, refusal) = setting().await;
    let (good, _) = rights::token(&gateway, &json!({"subject": "alice", "role": "viewer"})).await;
    let parts: Vec<&str> = good.split('.').collect();
    let claims: Value = serde_json::from_slice(&bytes(parts[1])).expect("claims");
    for changes in [json!({"role": "admin"}), json!({"sub": "admin"}), json!({"exp": now() + 9000})] {
        let token = format!("{}.{}.{}", parts[0], part(&but(claims.clone(), &changes)), parts[2]);
        refusal.meets(&gateway, &token, &changes.to_string()).await;
    }
    let who = client(&gateway, &good).get(WHOAMI).await.ok();
    assert_eq!((&who["subject"], &who["role"]), (&json!("alice"), &json!("viewer")));
}

#[tokio::test]
async fn a_part_of_a_token_is_no_token() {
    let (gateway, _, refusal) = setting().await;
    let (good, _) = rights::token(&gateway, &json!({"subject": "alice", "role": "viewer"})).await;
    let dots: Vec<usize> = good.match_indices('.').map(|(at, _)| at).collect();
    let boundaries = dots.iter().flat_map(|dot| [dot - 1, *dot, dot + 1]);
    let last = (good.len() - 5)..good.len();
    for length in boundaries.chain((1..good.len()).step_by(17)).chain(last) {
        refusal.meets(&gateway, &good[..length], &format!("{length} bytes")).await;
    }
    let parts: Vec<&str> = good.split('.').collect();
    for joined in [
        format!("{}.{}", parts[1], parts[2]),
        format!(".{}.{}", parts[1], parts[2]),
        format!("{}..{}", parts[0], parts[2]),
        format!("{good}."),
        format!("{good}.{}", parts[2]),
        format!("{good}="),
        "..".into(),
        ".".into(),
    ] {
        refusal.meets(&gateway, &joined, &joined).await;
    }
}

#[tokio::test]
async fn a_signature_has_one_spelling() {
    let (gateway, _, refusal) = setting().await;
    let (good, _) = rights::token(&gateway, &json!({"subject": "alice", "role": "viewer"})).await;
    let (head, last) = good.split_at(good.len() - 1);
    // 64 bytes leave four bits of the last character unused: they must be zero, or a revoked text had fifteen twins.
    for other in "AQgwBCDEFGHIJabcdefhij0123-_".chars().filter(|other| !last.contains(*other)) {
        refusal.meets(&gateway, &format!("{head}{other}"), &format!("{last} as {other}")).await;
    }
    client(&gateway, &good).get(WHOAMI).await.ok();
}

#[tokio::test]
async fn what_was_good_once_is_refused_as_what_never_was() {
    let (gateway, _, refusal) = setting().await;
    let (token, jti) = rights::token(&gateway, &json!({"subject": "alice", "role": "viewer"})).await;
    let (revoked, id) = rights::key(&gateway, "bob", "viewer").await;
    let (disabled, _) = rights::key(&gateway, "carol", "viewer").await;
    let (carols, _) = rights::token(&gateway, &json!({"subject": "carol"})).await;
    let ended = json!({"subject": "dave", "role": "viewer", "expires_in": 0});
    let ended = gateway.http().post("/admin/v1/keys", &ended).await.ok();
    rights::delete(gateway.http(), &format!("/admin/v1/tokens/{jti}")).await.ok();
    rights::delete(gateway.http(), &format!("/admin/v1/keys/{id}")).await.ok();
    patch(gateway.http(), "/admin/v1/subjects/carol", &json!({"disabled": true})).await.ok();
    refusal.meets(&gateway, &token, "a revoked token").await;
    refusal.meets(&gateway, revoked.key(), "a revoked key").await;
    refusal.meets(&gateway, disabled.key(), "a key of a disabled subject").await;
    refusal.meets(&gateway, &carols, "a token of a disabled subject").await;
    refusal.meets(&gateway, rights::text(&ended, "/secret"), "a key that has ended").await;
}

#[tokio::test]
async fn a_removed_subjects_keys_are_refused() {
    let (gateway, _, refusal) = setting().await;
    let (alice, _) = rights::key(&gateway, "alice", "viewer").await;
    alice.get(WHOAMI).await.ok();
    rights::delete(gateway.http(), "/admin/v1/subjects/alice").await.ok();
    refusal.meets(&gateway, alice.key(), "a key of a removed subject").await;
}

#[tokio::test]
async fn a_removed_subjects_tokens_are_refused() {
    let (gateway, _, refusal) = setting().await;
    rights::key(&gateway, "alice", "viewer").await;
    let (token, _) = rights::token(&gateway, &json!({"subject": "alice", "role": "viewer"})).await;
    rights::delete(gateway.http(), "/admin/v1/subjects/alice").await.ok();
    refusal.meets(&gateway, &token, "a token of a removed subject").await;
}
