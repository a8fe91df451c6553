//! A Redis cluster of three servers for one test, gone with it: what names two slots at once fails here.

use std::net::TcpListener;
use std::time::Duration;

use redis::cmd;
use tokio::time::sleep;

use super::RedisLink;
use super::test_server::Server;

const SLOTS: u16 = 16_384;
const NODES: u16 = 3;

/// Three masters that share the slots.
pub(crate) struct Cluster {
    nodes: Vec<Server>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let mut nodes = Vec::new();
        let mut buses = Vec::new();
        for _ in 0..NODES {
            let bus = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
            nodes.push(Server::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]).await);
            buses.push(bus);
        }
        let first = &nodes[0];
        for (index, node) in (0..NODES).zip(&nodes) {
            let (from, to) = (SLOTS / NODES * index, SLOTS / NODES * (index + 1));
            let last = if index + 1 == NODES { SLOTS - 1 } else { to - 1 };
            let () = node.query(cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(from).arg(last));
        }
        for (node, bus) in nodes.iter().zip(&buses).skip(1) {
            let () = first.query(cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(node.port()).arg(bus));
        }
        let cluster = Self { nodes };
        while !cluster.is_ready() {
            sleep(Duration::from_millis(10)).await;
        }
        cluster
    }

    /// A link that was told of one node.
    pub(crate) fn link(&self) -> RedisLink {
        let first = self.nodes[0].port();
        RedisLink::new(&format!("redis+cluster://127.0.0.1:{first}"), None).unwrap()
    }

    /// How many keys each node has.
    pub(crate) fn sizes(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.query(&cmd("DBSIZE"))).collect()
    }

    /// Every node knows of every slot.
    fn is_ready(&self) -> bool {
        self.nodes.iter().all(|node| {
            let info: String = node.query(cmd("CLUSTER").arg("INFO"));
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        })
    }
}
