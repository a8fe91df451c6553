//! Every kind of address against a real server of its kind.

use std::time::{Duration, Instant};

use redis::{Script, cmd};

use super::test_certificates::Certificates;
use super::test_cluster::Cluster;
use super::test_server::Server;
use super::{LinkError, RedisLink, TIMEOUT};

async fn stores_and_finds(link: &RedisLink) {
    let () = link.query(cmd("SET").arg("{tag}:a").arg("1")).await.unwrap();
    let script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    let mut call = script.key("{tag}:a");
    call.arg(41);
    assert_eq!(link.run::<i64>(&call).await.unwrap(), 42);
    let mut both = redis::pipe();
    both.get("{tag}:a").get("{tag}:b");
    assert_eq!(link.pipeline::<(i64, Option<i64>)>(&both).await.unwrap(), (42, None));
}

#[tokio::test]
async fn one_server_with_a_password() {
    let server = Server::start_with(&["--user", "gateway", "on", ">secret", "~*", "+@all"]).await;
    stores_and_finds(&RedisLink::new(&server.url().replace("//", "//gateway:secret@"), None).unwrap()).await;
    let wrong = RedisLink::new(&server.url().replace("//", "//gateway:wrong@"), None).unwrap();
    assert!(matches!(wrong.query::<()>(cmd("PING").arg("x")).await, Err(LinkError::Failed(_))));
}

#[tokio::test]
async fn a_cluster_by_one_of_its_nodes() {
    stores_and_finds(&Cluster::start().await.link()).await;
}

#[tokio::test]
async fn tls_with_an_authority_of_our_own_and_with_none_that_knows_it() {
    let certificates = Certificates::make();
    let (port, _server) = serve_tls(&certificates).await;
    let url = format!("rediss://localhost:{port}/");
    stores_and_finds(
        &RedisLink::new(&url, Some(&std::fs::read(certificates.file("ca.pem")).unwrap())).unwrap(),
    )
    .await;
    let stranger = RedisLink::new(&url, None).unwrap();
    assert!(stranger.query::<()>(cmd("PING").arg("x")).await.is_err());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_waited_for_no_longer_than_stated() {
    let server = Server::start().await;
    let link = server.link();
    stores_and_finds(&link).await;
    server.freeze();
    let asked = Instant::now();
    let answer = link.query::<Option<String>>(cmd("GET").arg("a")).await;
    server.thaw();
    assert!(answer.is_err_and(|error| error.may_pass_later()));
    // Far above the time-out and far below any other: not a timing, but which one it was.
    assert!(asked.elapsed() < TIMEOUT + Duration::from_secs(5));
}

#[test]
fn what_is_no_address_is_refused() {
    for url in ["not a url", "http://host", "redis+cluster://"] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        assert!(RedisLink::new(url, None).is_err(), "{url}");
    }
}

/// A server whose plain port says when it is up.
async fn serve_tls(certificates: &Certificates) -> (u16, Server) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = |name: &str| certificates.file(name).display().to_string();
    let options = format!(
        "--tls-port {port} --tls-cert-file {} --tls-key-file {} --tls-ca-cert-file {} --tls-auth-clients no",
        file("server.pem"),
        file("server.key"),
        file("ca.pem"),
    );
    // The server's options live as long as the process: one test, a few words.
    let options: Vec<&'static str> = String::leak(options).split(' ').collect();
    (port, Server::start_with(Vec::leak(options)).await)
}
