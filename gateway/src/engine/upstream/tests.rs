//! The engine before real servers in this process: every way of connecting.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::StreamExt;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::body::tests::ask;
use super::*;
use crate::config::Http2;
use crate::engine::{DeltaPart, Event, UpstreamErrorKind};
use crate::redis_link::test_certificates::Certificates;

const ANSWER: &str =
    "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Requests of HTTP/1.1 and of HTTP/2.
type Seen = Arc<[AtomicU32; 2]>;

async fn serve(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, over_http2: bool, seen: Seen) {
    let service = service_fn(move |request: Request<Incoming>| {
        let version = usize::from(request.version() == Version::HTTP_2);
        seen[version].fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())))) }
    });
    let io = TokioIo::new(io);
    // The client may leave as it likes.
    if over_http2 {
        drop(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await);
    } else {
        drop(http1::Builder::new().serve_connection(io, service).await);
    }
}

fn engine(config: &ModelConfig) -> Arc<UpstreamEngine> {
    UpstreamEngine::new(config, "m", 0, &Metrics::default()).unwrap()
}

fn entry(url: String) -> ModelConfig {
    ModelConfig { url: Some(url), ..ModelConfig::default() }
}

async fn generate(engine: &UpstreamEngine) -> Result<Generation, EngineError> {
    let start = Start { tenant: "t".into(), priority: 0 };
    engine.prepare(ask("Hi")).await?.start(start).await
}

/// The text of an answer that must come.
async fn answered(engine: &UpstreamEngine) -> String {
    let generation = generate(engine).await.unwrap();
    assert_eq!(generation.target.as_deref(), Some("m"));
    let events: Vec<_> = generation.events.collect().await;
    assert!(matches!(events.last(), Some(Ok(Event::Done(_)))), "{events:?}");
    let text = events.into_iter().filter_map(|event| match event {
        Ok(Event::Delta(crate::engine::Delta { part: Some(DeltaPart::Content(text)), .. })) => Some(text),
        _ => None,
    });
    text.collect()
}

fn counts(seen: &Seen) -> (u32, u32) {
    (seen[0].load(Ordering::Relaxed), seen[1].load(Ordering::Relaxed))
}

#[tokio::test]
async fn http_1_and_2_without_tls() {
    for (http2, over_http2, expected) in [(Http2::Auto, false, (2, 0)), (Http2::Always, true, (0, 2))] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, mut tasks) = (Seen::default(), JoinSet::new());
        let counted = Arc::clone(&seen);
        tasks.spawn(async move {
            // One connection: the second request uses it again.
            let (socket, _) = listener.accept().await.unwrap();
            serve(socket, over_http2, counted).await;
        });
        let engine = engine(&ModelConfig { http2, ..entry(format!("http://{address}/v1/")) });
        assert_eq!(answered(&engine).await, "Hi");
        assert_eq!(answered(&engine).await, "Hi");
        assert_eq!(counts(&seen), expected);
        assert_eq!(engine.load().running, 0);
    }
}

#[tokio::test]
async fn a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (seen, mut tasks) = (Seen::default(), JoinSet::new());
    let counted = Arc::clone(&seen);
    tasks.spawn(async move { serve(listener.accept().await.unwrap().0, false, counted).await });
    let engine = engine(&entry(format!("unix:{}", path.display())));
    assert_eq!(answered(&engine).await, "Hi");
    assert_eq!(counts(&seen), (1, 0));
}

/// TLS as a server of the certificates speaks it, with HTTP/2 on offer.
fn acceptor(certificates: &Certificates) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificates.file("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(certificates.file("server.key")).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn serve_tls(listener: TcpListener, tls: TlsAcceptor, seen: Seen) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        connections.spawn(greet(tls.accept(socket), Arc::clone(&seen)));
    }
}

async fn greet(accepting: tokio_rustls::Accept<TcpStream>, seen: Seen) {
    // A client that does not trust us leaves.
    let Ok(socket) = accepting.await else { return };
    let over_http2 = socket.get_ref().1.alpn_protocol() == Some(b"h2");
    serve(socket, over_http2, seen).await;
}

#[tokio::test]
async fn tls_of_an_authority_of_one_s_own_and_of_none() {
    let certificates = Certificates::make();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, mut tasks) = (Seen::default(), JoinSet::new());
    let (counted, tls) = (Arc::clone(&seen), acceptor(&certificates));
    tasks.spawn(serve_tls(listener, tls, counted));
    let entry = |host: &str, ca: &str, http2| ModelConfig {
        ca_file: Some(certificates.file(ca)),
        http2,
        ..entry(format!("https://{host}:{port}/v1"))
    };
    assert_eq!(answered(&engine(&entry("localhost", "ca.pem", Http2::Auto))).await, "Hi");
    assert_eq!(counts(&seen), (0, 1));
    assert_eq!(answered(&engine(&entry("localhost", "ca.pem", Http2::Never))).await, "Hi");
    assert_eq!(counts(&seen), (1, 1));
    // Another authority than the server's, and another name than its certificate's.
    let other = Certificates::make();
    let stranger =
        ModelConfig { ca_file: Some(other.file("ca.pem")), ..entry("localhost", "ca.pem", Http2::Auto) };
    for distrusted in [stranger, entry("127.0.0.1", "ca.pem", Http2::Auto)] {
        let refused = generate(&engine(&distrusted)).await;
        let unreachable = |error: &EngineError| {
            matches!(error, EngineError::Upstream { kind: UpstreamErrorKind::Unreachable, .. })
        };
        assert!(refused.as_ref().is_err_and(unreachable), "{refused:?}");
    }
    assert_eq!(counts(&seen), (1, 1), "nobody who is not trusted was told anything");
}

#[tokio::test]
async fn only_what_was_counted_is_refused_for_its_length() {
    let engine = engine(&ModelConfig { context: 64, ..entry("http://127.0.0.1:1/v1".to_owned()) });
    let long = ask(&"word ".repeat(1000));
    let prepared = engine.prepare(long).await.unwrap();
    assert!(matches!(prepared.prompt_tokens(), TokenCount::Estimate(tokens) if tokens > 64));
    assert_eq!(prepared.max_output_tokens(), 1);
    let mut counted = ask("");
    counted.prompt = crate::engine::Prompt::Tokens(vec![1; 64]);
    let refused = engine.prepare(counted).await.err();
    assert!(
        matches!(refused, Some(EngineError::ContextLength { prompt: 64, window: 64, .. })),
        "{refused:?}"
    );
}
