//! When an issuer is asked for its keys, and what is remembered between.

use super::*;

async fn reason(world: &World, token: &str) -> &'static str {
    world.tokens.verify(token).await.unwrap_err().reason()
}

/// Sends good tokens, each another one, until the issuer was asked so often: nobody waits for such a fetch. The clock
/// stands, so that more of them cause no more.
async fn calls_become(world: &World, signer: &Signer, calls: usize) {
    for attempt in 0..1000 {
        let claims = json!({ "exp": START + 999_999, "jti": format!("{}-{attempt}", world.now()) });
        assert!(world.tokens.verify(&signer.sign(&but(good(KEYCLOAK), &claims))).await.is_ok());
        if world.published.calls() == calls {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{} calls, not {calls}", world.published.calls());
}

#[tokio::test]
async fn keys_are_fetched_when_first_needed_and_then_kept() {
    let (world, signer) = (World::new(), Signer::ed("ed"));
    world.published.put(&url(KEYCLOAK), &[signer.jwk()]);
    assert_eq!(world.published.calls(), 0);
    for subject in 0..20 {
        let claims = but(good(KEYCLOAK), &json!({ "sub": subject.to_string() }));
        assert!(world.tokens.verify(&signer.sign(&claims)).await.is_ok());
    }
    assert_eq!(world.published.calls(), 1);
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_once_and_only_once_in_thirty_seconds() {
    let (world, old, new) = (World::new(), Signer::ed("old"), Signer::ed("new"));
    world.published.put(&url(KEYCLOAK), &[old.jwk()]);
    assert!(world.tokens.verify(&old.sign(&good(KEYCLOAK))).await.is_ok());
    world.published.put(&url(KEYCLOAK), &[old.jwk(), new.jwk()]);

    world.pass(29);
    assert_eq!(reason(&world, &new.sign(&good(KEYCLOAK))).await, "unknown_key");
    assert_eq!(world.published.calls(), 1);
    world.pass(1);
    assert!(world.tokens.verify(&new.sign(&good(KEYCLOAK))).await.is_ok());
    assert_eq!(world.published.calls(), 2);

    for attempt in 0..100 {
        let header = but(new.header(), &json!({ "kid": format!("random-{attempt}") }));
        assert_eq!(reason(&world, &new.sign_as(&header, &good(KEYCLOAK))).await, "unknown_key");
    }
    assert_eq!(world.published.calls(), 2);
    world.pass(30);
    for _ in 0..10 {
        assert_eq!(reason(&world, &Signer::ed("x").sign(&good(KEYCLOAK))).await, "unknown_key");
    }
    assert_eq!(world.published.calls(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_first_tokens_at_once_cause_one_fetch_and_all_wait_for_it() {
    let (world, signer) = (Arc::new(World::new()), Signer::ed("ed"));
    world.published.put(&url(KEYCLOAK), &[signer.jwk()]);
    world.published.be_slow();
    let mut tasks = tokio::task::JoinSet::new();
    for subject in 0..50 {
        let token = signer.sign(&but(good(KEYCLOAK), &json!({ "sub": subject.to_string() })));
        let world = Arc::clone(&world);
        tasks.spawn(async move { world.tokens.verify(&token).await.is_ok() });
    }
    assert!(tasks.join_all().await.into_iter().all(|verified| verified));
    assert_eq!(world.published.calls(), 1);
}

#[tokio::test]
async fn an_issuer_that_goes_away_leaves_its_last_good_keys() {
    let (world, signer) = (World::new(), Signer::ed("ed"));
    world.published.put(&url(KEYCLOAK), &[signer.jwk()]);
    calls_become(&world, &signer, 1).await;
    world.published.go_away(&url(KEYCLOAK));
    world.pass(599);
    calls_become(&world, &signer, 1).await;
    world.pass(1);
    calls_become(&world, &signer, 2).await;
    world.pass(6 * 3600);
    calls_become(&world, &signer, 3).await;
    // A key set without keys is being away too.
    world.published.put(&url(KEYCLOAK), &[]);
    world.pass(30);
    calls_become(&world, &signer, 4).await;
    world.pass(30);
    calls_become(&world, &signer, 5).await;
}

#[tokio::test]
async fn old_keys_are_fetched_anew_and_one_that_was_withdrawn_ends() {
    let (world, old, new) = (World::new(), Signer::ed("old"), Signer::ed("new"));
    let late = |subject: &str| old.sign(&but(good(KEYCLOAK), &json!({ "sub": subject })));
    world.published.put(&url(KEYCLOAK), &[old.jwk()]);
    assert!(world.tokens.verify(&late("a")).await.is_ok());
    world.published.put(&url(KEYCLOAK), &[new.jwk()]);
    world.published.be_slow();
    world.pass(600);
    // The one that finds them old does not wait for the new ones; who needs those does.
    assert!(world.tokens.verify(&late("b")).await.is_ok());
    assert!(world.tokens.verify(&new.sign(&good(KEYCLOAK))).await.is_ok());
    assert_eq!(reason(&world, &late("c")).await, "unknown_key");
    assert_eq!(world.published.calls(), 2);
}

#[tokio::test]
async fn an_issuer_that_never_answered_is_away_and_is_asked_again_after_five_seconds() {
    let (world, signer) = (World::new(), Signer::ed("ed"));
    let token = signer.sign(&good(KEYCLOAK));
    assert_eq!(reason(&world, &token).await, "issuer_away");
    world.published.put(&url(KEYCLOAK), &[signer.jwk()]);
    world.pass(4);
    assert_eq!(reason(&world, &token).await, "issuer_away");
    world.pass(1);
    assert!(world.tokens.verify(&token).await.is_ok());
    assert_eq!(world.published.calls(), 2);
}

#[tokio::test]
async fn one_issuer_away_is_nothing_to_the_others() {
    let (world, signer) = (World::new(), Signer::ed("ed"));
    world.published.put(&url(AUTH0), &[signer.jwk()]);
    assert_eq!(reason(&world, &signer.sign(&good(KEYCLOAK))).await, "issuer_away");
    assert!(world.tokens.verify(&signer.sign(&good(AUTH0))).await.is_ok());
    let own = world.tokens.mint(&new_token("alice")).unwrap().token;
    assert!(world.tokens.verify(&own).await.is_ok());
}

#[tokio::test]
async fn a_client_that_leaves_does_not_end_the_fetch_that_others_need() {
    let (world, signer) = (World::new(), Signer::ed("ed"));
    world.published.put(&url(KEYCLOAK), &[signer.jwk()]);
    world.published.be_slow();
    let token = signer.sign(&good(KEYCLOAK));
    {
        let mut leaving = std::pin::pin!(world.tokens.verify(&token));
        let waker = std::task::Waker::noop();
        assert!(leaving.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    assert!(world.tokens.verify(&token).await.is_ok());
    assert_eq!(world.published.calls(), 1);
}

#[tokio::test]
async fn a_verified_token_is_remembered_until_its_end_even_when_its_keys_are_gone() {
    let (world, old, new) = (World::new(), Signer::ed("old"), Signer::ed("new"));
    world.published.put(&url(KEYCLOAK), &[old.jwk()]);
    let token = old.sign(&good(KEYCLOAK));
    let verified = world.tokens.verify(&token).await.unwrap();
    world.published.put(&url(KEYCLOAK), &[new.jwk()]);
    world.pass(60);
    assert!(world.tokens.verify(&new.sign(&good(KEYCLOAK))).await.is_ok());
    assert_eq!(reason(&world, &old.sign(&but(good(KEYCLOAK), &json!({ "jti": "2" })))).await, "unknown_key");

    world.pass(3600 - 61);
    assert_eq!(world.tokens.verify(&token).await, Ok(verified));
    world.pass(1);
    assert!(world.tokens.verify(&token).await.is_err());
}

#[tokio::test]
async fn what_is_forgotten_is_verified_anew() {
    let (world, old, new) = (World::new(), Signer::ed("old"), Signer::ed("new"));
    world.published.put(&url(KEYCLOAK), &[old.jwk()]);
    let token = old.sign(&good(KEYCLOAK));
    assert!(world.tokens.verify(&token).await.is_ok());
    world.published.put(&url(KEYCLOAK), &[new.jwk()]);
    world.pass(60);
    assert!(world.tokens.verify(&new.sign(&good(KEYCLOAK))).await.is_ok());
    world.tokens.forget_all();
    assert_eq!(reason(&world, &token).await, "unknown_key");
}

#[tokio::test]
async fn a_remembered_token_ends_with_the_overlap_of_its_retired_key() {
    let world = World::new();
    let token = world.tokens.mint(&new_token("alice")).unwrap().token;
    assert!(world.tokens.verify(&token).await.is_ok());
    world.tokens.rotate(Some(Duration::from_mins(10))).unwrap();
    assert!(world.tokens.verify(&token).await.is_ok());
    world.pass(599);
    assert!(world.tokens.verify(&token).await.is_ok());
    world.pass(1);
    assert_eq!(reason(&world, &token).await, "unknown_key");
    assert_eq!(world.now(), START + 600);
}

#[tokio::test]
async fn a_leaked_key_ends_remembered_tokens_too() {
    let world = World::new();
    let token = world.tokens.mint(&new_token("alice")).unwrap().token;
    assert!(world.tokens.verify(&token).await.is_ok());
    world.tokens.rotate(Some(Duration::ZERO)).unwrap();
    assert_eq!(reason(&world, &token).await, "unknown_key");
}
