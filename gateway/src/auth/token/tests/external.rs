//! Tokens of external issuers: what they must say, and where their subject and role are.

use super::*;

async fn reason(world: &World, token: &str) -> &'static str {
    world.tokens.verify(token).await.unwrap_err().reason()
}

/// A world where Keycloak publishes one key, and that key.
fn setting() -> (World, Signer) {
    let (world, signer) = (World::new(), Signer::ed("ed"));
    world.published.put(&url(KEYCLOAK), &[signer.jwk()]);
    (world, signer)
}

/// What a configured issuer makes of claims.
async fn verified(config: IssuerConfig, claims: &Value) -> Result<Verified, TokenError> {
    let (world, signer) = (World::with(&[config]), Signer::ed("ed"));
    world.published.put(&url(KEYCLOAK), &[signer.jwk()]);
    world.tokens.verify(&signer.sign(claims)).await
}

async fn role(config: IssuerConfig, claims: &Value) -> Option<String> {
    verified(config, &but(good(KEYCLOAK), claims)).await.unwrap().role.as_deref().map(str::to_owned)
}

/// The library does not read on behind a list where it wants something else.
fn assert_wrong_type(reason: &str) {
    assert!(["missing_claim", "malformed"].contains(&reason), "{reason}");
}

fn keycloak() -> IssuerConfig {
    issuer("keycloak", KEYCLOAK)
}

#[tokio::test]
async fn keys_of_every_kind_verify() {
    let rsa = [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256].map(Signer::rsa);
    for signer in rsa.into_iter().chain([Signer::p256(), Signer::p384(), Signer::ed("ed")]) {
        let world = World::with(&[IssuerConfig { algorithms: vec![signer.algorithm], ..keycloak() }]);
        world.published.put(&url(KEYCLOAK), &[signer.jwk()]);
        let verified = world.tokens.verify(&signer.sign(&good(KEYCLOAK))).await.unwrap();
        assert_eq!((&*verified.subject, verified.role.as_deref()), ("alice", Some("user")));
        assert_eq!(verified.issuer, Issuer::External("keycloak".into()));
    }
}

#[tokio::test]
async fn a_key_for_an_algorithm_that_is_not_configured_is_not_there() {
    let (world, signer) = (World::new(), Signer::p384());
    world.published.put(&url(KEYCLOAK), &[signer.jwk(), Signer::ed("other").jwk()]);
    assert_eq!(reason(&world, &signer.sign(&good(KEYCLOAK))).await, "unknown_key");
}

#[tokio::test]
async fn a_token_outside_its_time_is_refused_with_ten_seconds_of_leeway() {
    let (world, signer) = setting();
    let token = |change: Value| signer.sign(&but(good(KEYCLOAK), &change));
    let over = token(json!({ "exp": START - 9 }));
    assert!(world.tokens.verify(&over).await.is_ok());
    assert_eq!(reason(&world, &token(json!({ "exp": START - 10 }))).await, "expired");
    assert_eq!(reason(&world, &token(json!({ "exp": 0 }))).await, "expired");
    assert_eq!(reason(&world, &token(json!({ "nbf": START + 11 }))).await, "not_yet_valid");
    assert!(world.tokens.verify(&token(json!({ "nbf": START + 10 }))).await.is_ok());
    world.pass(1);
    assert_eq!(reason(&world, &over).await, "expired");
}

#[tokio::test]
async fn times_may_have_a_fraction_but_must_be_numbers() {
    let (world, signer) = setting();
    let token = |change: Value| signer.sign(&but(good(KEYCLOAK), &change));
    let verified =
        world.tokens.verify(&token(json!({ "exp": 1_800_000_600.9, "nbf": 1_799_999_999.5 }))).await;
    assert_eq!(verified.unwrap().expires_at, START + 600);
    for exp in [json!("1900000000"), json!([1_900_000_000]), json!(-1), json!(true), json!({})] {
        assert_wrong_type(reason(&world, &token(json!({ "exp": exp }))).await);
    }
    for nbf in [json!("0"), json!([]), json!(-1.5)] {
        assert_eq!(reason(&world, &token(json!({ "nbf": nbf }))).await, "malformed");
    }
    assert!(world.tokens.verify(&token(json!({ "exp": u64::MAX }))).await.is_ok());
}

#[tokio::test]
async fn a_token_for_another_service_is_refused() {
    let (world, signer) = setting();
    let token = |aud: Value| signer.sign(&but(good(KEYCLOAK), &json!({ "aud": aud })));
    for aud in [json!("other"), json!(["other", "sluice"]), json!([]), json!("")] {
        assert_eq!(reason(&world, &token(aud)).await, "wrong_audience");
    }
    for aud in [json!(null), json!(7), json!({ "sluice-api": 1 })] {
        assert_eq!(reason(&world, &token(aud)).await, "missing_claim");
    }
    for aud in [json!("sluice-web"), json!(["other", "sluice-api"])] {
        assert!(world.tokens.verify(&token(aud)).await.is_ok());
    }
}

#[tokio::test]
async fn a_token_of_nobody_trusted_is_refused_and_asks_nobody() {
    let (world, signer) = setting();
    for iss in ["https://evil.example", &format!("{KEYCLOAK}/"), "", "HTTPS://keycloak.example/realms/a"] {
        assert_eq!(reason(&world, &signer.sign(&good(iss))).await, "wrong_issuer");
    }
    assert_eq!(
        reason(&world, &signer.sign(&but(good(KEYCLOAK), &json!({ "iss": null })))).await,
        "missing_claim"
    );
    for iss in [json!([KEYCLOAK]), json!([KEYCLOAK, "https://evil.example"]), json!(7)] {
        assert_eq!(
            reason(&world, &signer.sign(&but(good(KEYCLOAK), &json!({ "iss": iss })))).await,
            "malformed"
        );
    }
    assert_eq!(world.published.calls(), 0);
}

#[tokio::test]
async fn an_issuer_speaks_for_itself_and_for_no_other() {
    let world = World::new();
    let (keycloak, auth0) = (Signer::ed("same"), Signer::ed("same"));
    world.published.put(&url(KEYCLOAK), &[keycloak.jwk()]);
    world.published.put(&url(AUTH0), &[auth0.jwk()]);
    assert_eq!(reason(&world, &keycloak.sign(&good(AUTH0))).await, "bad_signature");
    assert_eq!(reason(&world, &auth0.sign(&good(KEYCLOAK))).await, "bad_signature");
    let ours = but(good("sluice"), &json!({ "aud": "sluice", "role": "admin" }));
    assert_eq!(reason(&world, &keycloak.sign(&ours)).await, "unknown_key");
    let kid = world.tokens.jwks()["keys"][0]["kid"].clone();
    let header = but(keycloak.header(), &json!({ "kid": kid }));
    assert_eq!(reason(&world, &keycloak.sign_as(&header, &ours)).await, "bad_signature");
    assert!(world.tokens.verify(&auth0.sign(&good(AUTH0))).await.is_ok());
}

#[tokio::test]
async fn a_token_without_a_subject_or_an_end_is_refused() {
    let (world, signer) = setting();
    let long = "a".repeat(257);
    for sub in
        [json!(null), json!(""), json!(7), json!(["alice"]), json!(long), json!("a\u{7}"), json!("a\nb")]
    {
        let token = signer.sign(&but(good(KEYCLOAK), &json!({ "sub": sub })));
        assert_wrong_type(reason(&world, &token).await);
    }
    let endless = signer.sign(&but(good(KEYCLOAK), &json!({ "exp": null })));
    assert_eq!(reason(&world, &endless).await, "missing_claim");
    let just = signer.sign(&but(good(KEYCLOAK), &json!({ "sub": long[1..] })));
    assert!(world.tokens.verify(&just).await.is_ok());
}

#[tokio::test]
async fn the_subject_can_be_another_claim() {
    let config = || IssuerConfig { subject_claim: "email".to_owned(), ..keycloak() };
    let claims = but(good(KEYCLOAK), &json!({ "email": "alice@example.com", "sub": null }));
    assert_eq!(&*verified(config(), &claims).await.unwrap().subject, "alice@example.com");
    assert_eq!(verified(config(), &good(KEYCLOAK)).await, Err(TokenError::MissingClaim));
}

#[tokio::test]
async fn a_role_is_found_by_name_by_path_and_by_pointer() {
    let at = |role_claim: &str| IssuerConfig { role_claim: role_claim.to_owned(), ..keycloak() };
    assert_eq!(role(at("role"), &json!({})).await.as_deref(), Some("user"));
    let nested = json!({ "realm_access": { "roles": ["offline_access", "operator", "admin"] } });
    assert_eq!(role(at("realm_access.roles"), &nested).await.as_deref(), Some("operator"));
    assert_eq!(role(at("/realm_access/roles"), &nested).await.as_deref(), Some("operator"));
    let url = json!({ "https://example.com/role": "viewer", "a~b": "admin", "c~1d": "user" });
    assert_eq!(role(at("/https:~1~1example.com~1role"), &url).await.as_deref(), Some("viewer"));
    assert_eq!(role(at("/c~01d"), &url).await.as_deref(), Some("user"));
    assert_eq!(role(at("/a~0b"), &url).await.as_deref(), Some("admin"));
}

#[tokio::test]
async fn a_role_that_is_none_of_ours_is_no_role() {
    let at = |role_claim: &str| IssuerConfig { role_claim: role_claim.to_owned(), ..keycloak() };
    for claims in [
        json!({ "role": null }),
        json!({ "role": "Admin" }),
        json!({ "role": "admin " }),
        json!({ "role": ["root", 7, ["admin"], { "admin": "admin" }] }),
        json!({ "role": { "admin": true } }),
        json!({ "role": true }),
    ] {
        assert_eq!(role(at("role"), &claims).await, None, "{claims}");
    }
    assert_eq!(role(at("role.name"), &json!({})).await, None);
    assert_eq!(role(at("a.b"), &json!({ "a.b": "admin" })).await, None);
}

#[tokio::test]
async fn a_role_map_translates_and_then_nothing_else_counts() {
    let role_map = BTreeMap::from([("llm-admins", "admin"), ("staff", "user")]);
    let role_map: BTreeMap<String, String> =
        role_map.into_iter().map(|(theirs, ours)| (theirs.to_owned(), ours.to_owned())).collect();
    let config = || IssuerConfig { role_map: role_map.clone(), ..keycloak() };
    assert_eq!(
        role(config(), &json!({ "role": ["everyone", "staff", "llm-admins"] })).await.as_deref(),
        Some("user")
    );
    assert_eq!(role(config(), &json!({ "role": "llm-admins" })).await.as_deref(), Some("admin"));
    assert_eq!(role(config(), &json!({ "role": "admin" })).await, None);
}

#[test]
fn issuers_that_could_be_taken_for_one_another_are_refused() {
    let world = |issuers: &[IssuerConfig]| {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(START * 1000);
        let own = SigningKeys::open(SigningConfig::default(), folder.path(), clock.clone()).unwrap();
        let fetch: Arc<dyn FetchJwks> = Arc::new(Published::default());
        Tokens::new(own, issuers, &known(), &fetch, clock).map(drop)
    };
    assert!(world(&[issuer("a", KEYCLOAK), issuer("b", KEYCLOAK)]).is_err());
    assert!(world(&[issuer("a", KEYCLOAK), issuer("a", AUTH0)]).is_err());
    let ours = IssuerConfig { issuer: "sluice".to_owned(), ..issuer("a", KEYCLOAK) };
    assert!(world(&[ours]).is_err());
    assert!(world(&[issuer("a", KEYCLOAK), issuer("b", AUTH0)]).is_ok());
}
