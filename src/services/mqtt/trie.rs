//! Trie of topic filters: finds the filters that match a topic, in time proportional to its levels.

use ahash::AHashMap;

/// Trie of topic filters with values.
///
/// Nodes are stored in one vector and have the index of their parent, so that no operation recurses, however many levels a filter has.
pub(super) struct Trie<T> {
    nodes: Vec<Node<T>>,
    free: Vec<usize>,
}

struct Node<T> {
    parent: usize,
    level: String,
    children: AHashMap<String, usize>,
    /// The children `+` and `#`, which are also in `children`.
    single_level: Option<usize>,
    multi_level: Option<usize>,
    here: Vec<T>,
}

const ROOT: usize = 0;

impl<T: Copy + PartialEq> Trie<T> {
    /// Creates an empty trie.
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::new(ROOT, "")], free: Vec::new() }
    }

    /// Inserts a value under a pattern of levels, `+` and `#`.
    pub(super) fn insert(&mut self, pattern: &str, value: T) {
        let mut at = ROOT;
        for level in pattern.split('/') {
            at = match self.nodes[at].children.get(level) {
                Some(child) => *child,
                None => self.add(at, level),
            };
        }
        self.nodes[at].here.push(value);
    }

    /// Removes a value.
    pub(super) fn remove(&mut self, pattern: &str, value: T) {
        let mut at = ROOT;
        for level in pattern.split('/') {
            let Some(child) = self.nodes[at].children.get(level) else { return };
            at = *child;
        }
        self.nodes[at].here.retain(|other| *other != value);
        while at != ROOT && self.nodes[at].here.is_empty() && self.nodes[at].children.is_empty() {
            let parent = self.nodes[at].parent;
            let level = std::mem::take(&mut self.nodes[at].level);
            self.nodes[parent].remove_child(&level);
            self.free.push(at);
            at = parent;
        }
    }

    /// Returns the values of all patterns that match a topic.
    ///
    /// Source: MQTT 3.1.1, section 4.7; a leading wildcard does not match topics with `$` [MQTT-4.7.2-1].
    pub(super) fn find(&self, topic: &str) -> Vec<T> {
        let mut found = Vec::new();
        self.walk(topic, |here| found.extend(here));
        found
    }

    /// Passes the values of all patterns that match to `found`; returns the number of visited nodes.
    fn walk(&self, topic: &str, mut found: impl FnMut(&[T])) -> usize {
        let allows_leading_wildcard = !topic.starts_with('$');
        let mut visited = 0;
        let mut open = vec![ROOT];
        let mut next = Vec::new();
        for (depth, level) in topic.split('/').enumerate() {
            let allows_wildcard = depth > 0 || allows_leading_wildcard;
            visited += open.len();
            for at in open.drain(..) {
                let node = &self.nodes[at];
                if allows_wildcard {
                    node.multi_level.into_iter().for_each(|rest| found(&self.nodes[rest].here));
                    next.extend(node.single_level);
                }
                next.extend(node.children.get(level));
            }
            std::mem::swap(&mut open, &mut next);
            if open.is_empty() {
                return visited;
            }
        }
        visited += open.len();
        for at in open {
            let node = &self.nodes[at];
            found(&node.here);
            node.multi_level.into_iter().for_each(|rest| found(&self.nodes[rest].here));
        }
        visited
    }

    fn add(&mut self, parent: usize, level: &str) -> usize {
        let node = Node::new(parent, level);
        let at = match self.free.pop() {
            Some(at) => {
                self.nodes[at] = node;
                at
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        self.nodes[parent].add_child(level, at);
        at
    }
}

impl<T> Node<T> {
    fn new(parent: usize, level: &str) -> Self {
        let children = AHashMap::new();
        Self { parent, level: level.to_owned(), children, single_level: None, multi_level: None, here: Vec::new() }
    }

    fn add_child(&mut self, level: &str, child: usize) {
        self.children.insert(level.to_owned(), child);
        self.cache_wildcards();
    }

    fn remove_child(&mut self, level: &str) {
        self.children.remove(level);
        self.cache_wildcards();
    }

    fn cache_wildcards(&mut self) {
        (self.single_level, self.multi_level) = (self.children.get("+").copied(), self.children.get("#").copied());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::Filter;

    const FILTERS: [&str; 14] =
        ["#", "+", "+/+", "a/#", "a/+", "a/b", "a/+/c", "/a", "+/a", "$SYS/#", "温度/+", "+/1", "a/b/#", "a//b"];
    const TOPICS: [&str; 14] =
        ["a", "a/b", "a/b/c", "/a", "/", "$SYS", "$SYS/up", "温度/1", "a/", "a//b", "b", "b/1", "x/y/z/w", "$x/1"];

    #[test]
    fn it_finds_the_filters_that_match_on_their_own() {
        let mut trie = Trie::new();
        for (number, filter) in FILTERS.iter().enumerate() {
            trie.insert(filter, number);
        }
        for topic in TOPICS {
            let alone = |number: &usize| Filter::parse(FILTERS[*number]).unwrap().is_match(topic);
            let expected: Vec<_> = (0..FILTERS.len()).filter(alone).collect();
            let mut found = trie.find(topic);
            found.sort_unstable();
            assert_eq!(found, expected, "{topic}");
        }
    }

    #[test]
    fn ten_thousand_filters_cost_no_more_than_the_levels_of_the_topic() {
        let mut trie = Trie::new();
        let visits = |trie: &Trie<usize>| {
            let mut found = 0;
            (trie.walk("house/77/celsius/now", |here| found += here.len()), found)
        };
        for number in 0..100 {
            trie.insert(&format!("house/{number}/+/now"), number);
        }
        let few = visits(&trie);
        assert_eq!(few, (5, 1), "the root and one node for each level");
        for number in 100..10_000 {
            trie.insert(&format!("house/{number}/+/now"), number);
            trie.insert(&format!("garden/{number}/#"), number);
        }
        assert_eq!(visits(&trie), few);
        trie.insert("house/+/celsius/#", 1);
        assert_eq!(visits(&trie), (7, 2), "a wildcard adds a branch, not a search");
    }

    #[test]
    fn removed_filters_leave_no_nodes_behind() {
        let mut trie = Trie::new();
        for round in 0..3 {
            for (number, filter) in FILTERS.iter().enumerate() {
                trie.insert(filter, number);
            }
            let nodes = trie.nodes.len();
            for (number, filter) in FILTERS.iter().enumerate() {
                trie.remove(filter, number);
            }
            assert_eq!(trie.nodes.len() - trie.free.len(), 1, "round {round}: only the root is left");
            assert_eq!(nodes, trie.nodes.len(), "nodes are reused");
        }
        assert!(trie.find("a/b").is_empty());
    }

    #[test]
    fn a_topic_of_32_000_levels_does_not_overflow_the_stack() {
        let deep = "a/".repeat(32_000);
        let mut trie = Trie::new();
        trie.insert(&deep, 1);
        trie.insert("#", 2);
        assert_eq!(trie.find(&deep).len(), 2);
        trie.remove(&deep, 1);
        assert_eq!(trie.find(&deep), [2]);
    }
}
