//! Spans as a collector finds them.

use super::*;
use crate::server::records::row;

fn batch(records: Vec<Record>) -> RecordBatch {
    RecordBatch { instance: "gw-1".to_owned(), records, ..RecordBatch::default() }
}

fn spans(records: Vec<Record>) -> Vec<Span> {
    let sent = Request::decode(&*request(&batch(records)).encode_to_vec()).unwrap();
    sent.resource_spans.into_iter().flat_map(|from| from.scope_spans).flat_map(|scope| scope.spans).collect()
}

fn value(attributes: &[KeyValue], key: &str) -> Option<Kind> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.kind.clone()
}

fn text(text: &str) -> Kind {
    Kind::Text(text.to_owned())
}

#[test]
fn a_request_is_a_span_of_its_service() {
    let record = row::for_tests();
    let sent = request(&batch(vec![record.clone()]));
    let resource = sent.resource_spans[0].resource.clone().unwrap().attributes;
    assert_eq!(value(&resource, "service.name"), Some(text("sluice")));
    assert_eq!(value(&resource, "service.instance.id"), Some(text("gw-1")));
    let span = spans(vec![record.clone()]).remove(0);
    assert_eq!(
        (span.name.as_str(), span.kind, span.status.clone()),
        ("create_chat_completion", SERVER, None)
    );
    assert_eq!((&span.trace_id, &span.span_id), (&record.trace_id, &record.span_id));
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, record.duration_ns);
    for (key, expected) in [
        ("gen_ai.operation.name", Some(text("chat"))),
        ("gen_ai.request.model", Some(text("small \"m\""))),
        ("gen_ai.usage.input_tokens", Some(Kind::Int(7))),
        ("gen_ai.usage.output_tokens", Some(Kind::Int(0))),
        ("http.response.status_code", Some(Kind::Int(200))),
        ("sluice.weight", Some(Kind::Double(10.0))),
        ("error.type", None),
    ] {
        assert_eq!(value(&span.attributes, key), expected, "{key}");
    }
}

#[test]
fn what_is_the_servers_fault_has_failed() {
    let of = |status, reason: &str| Record { status, reason: reason.to_owned(), ..row::for_tests() };
    let spans = spans(vec![of(503, ""), of(200, "engine_error"), of(429, "requests"), of(200, "")]);
    let codes: Vec<_> =
        spans.iter().map(|span| span.status.as_ref().map_or(0, |status| status.code)).collect();
    assert_eq!(codes, [ERROR, ERROR, 0, 0]);
    assert_eq!(value(&spans[0].attributes, "error.type"), Some(text("503")));
    assert_eq!(value(&spans[2].attributes, "error.type"), Some(text("requests")));
}

#[test]
fn what_has_no_ids_is_no_span() {
    let of = |trace_id: Vec<u8>, span_id: Vec<u8>| Record { trace_id, span_id, ..row::for_tests() };
    let cases = vec![of(vec![], vec![1; 8]), of(vec![0; 16], vec![1; 8]), of(vec![1; 16], vec![1; 7])];
    assert!(spans(cases).is_empty());
}

#[test]
fn a_request_without_a_model_says_nothing_of_one() {
    let record = Record { route: "list_models".to_owned(), model: String::new(), ..row::for_tests() };
    let span = spans(vec![record]).remove(0);
    assert!(!span.attributes.iter().any(|attribute| attribute.key.starts_with("gen_ai")));
}

#[tokio::test]
async fn a_record_that_makes_no_span_and_a_span_that_is_refused_count_as_refused() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut sink = Otlp::new(address.parse().unwrap());
    let partial = wire::PartialSuccess { rejected_spans: 2, error_message: "no room".to_owned() };
    let answer = Response { partial_success: Some(partial) }.encode_to_vec();
    let service = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
        stream.write_all(&[head.as_bytes(), &answer].concat()).await.unwrap();
    };
    let records = vec![row::for_tests(), row::for_tests(), row::for_tests(), Record::default()];
    let batch = batch(records);
    let (delivered, ()) = tokio::join!(sink.deliver(&batch), service);
    delivered.unwrap();
    assert_eq!((sink.take_refused(), sink.take_refused()), (3, 0));
}
