//! A bare socket, for clients that do not behave.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::http::Http;
use crate::patience::patiently;

/// A bare connection to a gateway.
#[derive(Debug)]
pub struct Raw {
    socket: TcpStream,
}

impl Raw {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        Self { socket: TcpStream::connect(address).await.expect("the gateway accepts") }
    }

    /// Connects with the smallest receive buffer there is, so that the gateway soon cannot write to it.
    pub async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        socket.set_recv_buffer_size(1024).expect("the buffer can be set");
        Self { socket: socket.connect(address).await.expect("the gateway accepts") }
    }

    /// Sends bytes as they are; an error is the answer of a gateway that has closed already.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.socket.write_all(bytes.as_ref()).await
    }

    /// Sends a whole `POST` of JSON with the key.
    pub async fn post(&mut self, http: &Http, path: &str, body: &Value) {
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            http.key(),
            body.len()
        );
        self.send(head + &body).await.expect("a small request can be sent");
    }

    /// Reads until this text has come; returns all that was read, or all there was if the gateway closed before.
    pub async fn read_until(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        let mut chunk = vec![0; 4096];
        loop {
            let length =
                patiently("bytes on a socket", self.socket.read(&mut chunk)).await.unwrap_or_default();
            seen.extend(chunk.iter().take(length));
            let so_far = String::from_utf8_lossy(&seen);
            if length == 0 || so_far.contains(text) {
                return so_far.into_owned();
            }
        }
    }

    /// Reads until the gateway closes.
    pub async fn read_to_end(&mut self) -> String {
        let mut seen = Vec::new();
        // A reset is an end as well.
        drop(patiently("the gateway to close", self.socket.read_to_end(&mut seen)).await);
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// Whether the gateway has closed the connection; what it sent before is thrown away.
    pub fn is_closed(&self) -> bool {
        let mut sink = [0; 4096];
        loop {
            match self.socket.try_read(&mut sink) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
            }
        }
    }
}
