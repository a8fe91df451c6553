//! Finds any of a set of strings in a stream of bytes, in linear time, and knows how much of the tail may yet match.

/// The strings searched for, as a trie with failure links (Aho–Corasick).
#[derive(Debug, Clone)]
pub(in crate::engine::llama) struct Automaton {
    nodes: Vec<Node>,
}

/// A place in the automaton: the longest tail of the stream that begins one of the strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::engine::llama) struct Place(u32);

#[derive(Debug, Clone, Default)]
struct Node {
    /// Sorted by byte.
    children: Vec<(u8, u32)>,
    fail: u32,
    /// Bytes from the root: how much of the tail may yet become a match.
    depth: u32,
    /// Length of the longest string that ends here; 0 is none.
    matched: u32,
}

impl Node {
    fn child(&self, byte: u8) -> Option<u32> {
        // Almost every node has one child; a hostile list of strings still costs only a binary search.
        let at = self.children.binary_search_by_key(&byte, |&(b, _)| b).ok()?;
        self.children.get(at).map(|&(_, node)| node)
    }
}

impl Automaton {
    /// Builds the automaton; empty strings are ignored.
    pub(in crate::engine::llama) fn new<S: AsRef<str>>(strings: impl IntoIterator<Item = S>) -> Self {
        let mut automaton = Self { nodes: vec![Node::default()] };
        for string in strings {
            automaton.insert(string.as_ref().as_bytes());
        }
        automaton.link();
        automaton
    }

    /// Whether there is nothing to find.
    pub(in crate::engine::llama) fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    /// The place after one more byte.
    pub(in crate::engine::llama) fn step(&self, place: Place, byte: u8) -> Place {
        let mut at = place.0;
        loop {
            let Some(node) = self.node(at) else { return Place(0) };
            if let Some(child) = node.child(byte) {
                return Place(child);
            }
            if at == 0 {
                return Place(0);
            }
            at = node.fail;
        }
    }

    /// How many bytes of the tail may yet become a match.
    pub(in crate::engine::llama) fn depth(&self, place: Place) -> usize {
        self.node(place.0).map_or(0, |node| node.depth as usize)
    }

    /// The length of the longest string that ends exactly here.
    pub(in crate::engine::llama) fn matched(&self, place: Place) -> Option<usize> {
        self.node(place.0).map(|node| node.matched as usize).filter(|&length| length > 0)
    }

    fn node(&self, at: u32) -> Option<&Node> {
        self.nodes.get(at as usize)
    }

    fn insert(&mut self, string: &[u8]) {
        let mut at = 0_u32;
        for (&byte, depth) in string.iter().zip(1_u32..) {
            at = match self.node(at).and_then(|node| node.child(byte)) {
                Some(child) => child,
                None => self.grow(at, byte, depth),
            };
        }
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.matched = node.depth;
        }
    }

    fn grow(&mut self, parent: u32, byte: u8, depth: u32) -> u32 {
        let new = u32::try_from(self.nodes.len()).unwrap_or(0);
        self.nodes.push(Node { depth, ..Node::default() });
        if let Some(node) = self.nodes.get_mut(parent as usize) {
            let at = node.children.partition_point(|&(b, _)| b < byte);
            node.children.insert(at, (byte, new));
        }
        new
    }

    /// Sets the failure links, breadth first: a node's link is always shallower, so it is finished before it is read.
    fn link(&mut self) {
        let mut queue: std::collections::VecDeque<u32> = [0].into();
        while let Some(at) = queue.pop_front() {
            let Some(node) = self.node(at) else { continue };
            let fail = node.fail;
            for (byte, child) in node.children.clone() {
                let link = if at == 0 { Place(0) } else { self.step(Place(fail), byte) };
                let inherited = self.matched(link).unwrap_or(0);
                queue.push_back(child);
                let Some(node) = self.nodes.get_mut(child as usize) else { continue };
                node.fail = link.0;
                // The node's own string is the longer of the two.
                if node.matched == 0 {
                    node.matched = u32::try_from(inherited).unwrap_or(0);
                }
            }
        }
    }
}
