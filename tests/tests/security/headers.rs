//! The credential has one place and one spelling; everything else is refused in one clean answer, however large.

use http::Method;
use tests::raw::Raw;

use super::{Refusal, WHOAMI, client, gateway};

/// Sends one request with these raw header lines; the only answer's status. Closes afterwards.
async fn status(gateway: &tests::Gateway, target: &str, lines: &[u8]) -> u16 {
    let mut raw = Raw::connect(gateway.address()).await;
    let head = format!("GET {target} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n");
    // A refusal may come before all was sent.
    drop(raw.send([head.as_bytes(), lines, b"\r\n"].concat()).await);
    let text = raw.read_to_end().await;
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "one answer: {text}");
    assert!(text.contains("\"error\":{") || text.starts_with("HTTP/1.1 200"), "an envelope: {text}");
    text.get(9..12).and_then(|status| status.parse().ok()).expect("a status")
}

#[tokio::test]
async fn a_credential_in_any_other_form_is_none() {
    let gateway = gateway().await;
    let key = gateway.http().key();
    for value in [
        format!("basic {key}"),
        format!("Basic {key}"),
        format!("Token {key}"),
        format!("Digest {key}"),
        key.to_owned(),
        format!("Bearer{key}"),
        format!("Bearer:{key}"),
        format!("Bearer\t{key}"),
        format!("Bearer \"{key}\""),
        format!("Bearer <{key}>"),
        format!("Bearer Bearer {key}"),
        format!("Bearer sk-wrong, Bearer {key}"),
        format!("Bearer {key}, Bearer sk-wrong"),
        format!("Bearer {key},"),
        format!("Bearer {key};"),
        format!("Bearer {key} {key}"),
        format!("Basic YTpi, Bearer {key}"),
        format!("Bearer {}", key.to_uppercase()),
        format!("Bearer {key}%00"),
        format!(", Bearer {key}"),
        "Bearer".into(),
        "Bearer ".into(),
        String::new(),
    ] {
        let status = status(&gateway, WHOAMI, format!("authorization: {value}\r\n").as_bytes()).await;
        assert_eq!(status, 401, "{value}");
    }
}

#[tokio::test]
async fn a_credential_in_any_other_place_is_none() {
    let gateway = gateway().await;
    let key = gateway.http().key();
    for name in [
        "proxy-authorization",
        "x-authorization",
        "x-forwarded-authorization",
        "x-original-authorization",
        "authentication",
        "www-authenticate",
        "x-api-key",
        "api-key",
        "openai-api-key",
        "authorization_",
        "http_authorization",
    ] {
        let line = format!("{name}: Bearer {key}\r\n");
        assert_eq!(status(&gateway, WHOAMI, line.as_bytes()).await, 401, "{name}");
    }
    let cookie = format!("cookie: authorization=Bearer {key}; api_key={key}\r\n");
    assert_eq!(status(&gateway, WHOAMI, cookie.as_bytes()).await, 401);
    for query in ["api_key", "key", "token", "access_token", "authorization"] {
        assert_eq!(status(&gateway, &format!("{WHOAMI}?{query}={key}"), b"").await, 401, "{query}");
    }
    let user = format!("http://admin:{key}@gateway{WHOAMI}");
    assert_ne!(status(&gateway, &user, b"").await, 200, "a name and a password in the address");
}

#[tokio::test]
async fn several_authorization_headers_are_none() {
    let gateway = gateway().await;
    let good = format!("Bearer {}", gateway.http().key());
    for pair in [[good.as_str(), "Bearer sk-wrong"], ["Bearer sk-wrong", &good], [&good, &good], [&good, ""]]
    {
        let mut call = gateway.http().anonymous(Method::GET, WHOAMI);
        for value in pair {
            call = call.header("authorization", value);
        }
        call.send().await.refused(401, "authentication_error");
    }
}

#[tokio::test]
async fn a_header_that_is_no_http_is_refused_whole() {
    let gateway = gateway().await;
    let key = gateway.http().key();
    for line in [
        format!("authorization: Bearer\r\n {key}\r\n"),
        format!("authorization:\r\n\tBearer {key}\r\n"),
        format!("x-a: b\r\n authorization: Bearer {key}\r\n"),
        format!("authorization : Bearer {key}\r\n"),
        format!(" authorization: Bearer {key}\r\n"),
        format!("authorization: Bearer {key}\0\r\n"),
        format!("authorization\0: Bearer {key}\r\n"),
        format!("authorization: Bearer \0{key}\r\n"),
        format!("x-a: b\rauthorization: Bearer {key}\r\n"),
        format!("authorization: Bearer {key}\x0b\r\n"),
        format!("authori\u{17f}ation: Bearer {key}\r\n"),
        format!("authorization Bearer {key}\r\n"),
        format!(": Bearer {key}\r\n"),
    ] {
        let status = status(&gateway, WHOAMI, line.as_bytes()).await;
        assert!([400, 401].contains(&status), "{status} for {line:?}");
    }
    gateway.http().get(WHOAMI).await.ok();
}

#[tokio::test]
async fn a_header_of_a_megabyte_is_refused_at_once() {
    let gateway = gateway().await;
    for value in ["A".repeat(1 << 20), ".".repeat(1 << 20), "A.".repeat(1 << 19)] {
        let line = format!("authorization: Bearer {value}\r\n");
        assert_eq!(status(&gateway, WHOAMI, line.as_bytes()).await, 431);
    }
    gateway.http().get(WHOAMI).await.ok();
}

#[tokio::test]
async fn a_long_token_is_refused_as_any_other() {
    let gateway = gateway().await;
    let refusal = Refusal::of(&gateway).await;
    for length in [8 << 10, (8 << 10) + 1, 24 << 10] {
        refusal.meets(&gateway, &"A".repeat(length), "a long word").await;
        refusal.meets(&gateway, &"A.".repeat(length / 2), "many parts").await;
        refusal.meets(&gateway, &format!("sk-{}", "A".repeat(length)), "a long key").await;
    }
    // A megabyte over HTTP/1 with a client that reads while it writes.
    let answer = client(&gateway, &"A".repeat(30 << 10)).get(WHOAMI).await;
    assert_eq!(answer.status, 401, "{}", answer.text());
}
