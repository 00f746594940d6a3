//! A tree of bytes for longest-match look-ups, flattened into three arrays.

/// Node 0 is the root; the children of node `n` are the nodes `first[n]..first[n + 1]`, ordered by
/// the byte that leads to them.
#[derive(Debug)]
pub(super) struct Trie {
    first: Vec<u32>,
    byte: Vec<u8>,
    /// The token that ends at a node, 0 if none does.
    token: Vec<u32>,
}

impl Trie {
    /// Builds the tree level by level from pieces of text and their ids; id 0 means "no token".
    pub(super) fn new(entries: Vec<(&[u8], u32)>) -> Self {
        let entries = sorted(entries);
        let mut trie = Self { first: vec![], byte: vec![0], token: vec![] };
        let mut level = vec![entries.as_slice()];
        for depth in 0.. {
            let mut next = vec![];
            for mut below in level {
                let mut token = 0;
                // Sorted: the piece that ends here stands before those that go on.
                while let Some((&(piece, id), rest)) = below.split_first()
                    && piece.len() == depth
                {
                    (token, below) = (id, rest);
                }
                trie.token.push(token);
                trie.first.push(trie.byte.len() as u32);
                for group in below.chunk_by(|a, b| a.0[depth] == b.0[depth]) {
                    trie.byte.push(group[0].0[depth]);
                    next.push(group);
                }
            }
            if next.is_empty() {
                break;
            }
            level = next;
        }
        trie.first.push(trie.byte.len() as u32);
        trie
    }

    /// The longest piece that `text` starts with: its length in bytes and its id.
    pub(super) fn longest(&self, text: &[u8]) -> Option<(usize, u32)> {
        let (mut node, mut best) = (0, None);
        for (at, byte) in text.iter().enumerate() {
            let start = self.first[node] as usize;
            let children = &self.byte[start..self.first[node + 1] as usize];
            let Ok(child) = children.binary_search(byte) else { break };
            node = start + child;
            if self.token[node] != 0 {
                best = Some((at + 1, self.token[node]));
            }
        }
        best
    }
}

/// The entries in order. Most pieces differ in their first bytes, which are compared as one number.
fn sorted(entries: Vec<(&[u8], u32)>) -> Vec<(&[u8], u32)> {
    let first = |piece: &[u8]| {
        let mut bytes = [0; size_of::<u64>()];
        let count = piece.len().min(bytes.len());
        bytes[..count].copy_from_slice(&piece[..count]);
        u64::from_be_bytes(bytes)
    };
    let mut keyed: Vec<_> = entries.into_iter().map(|entry| (first(entry.0), entry)).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, entry)| entry).collect()
}

#[cfg(test)]
mod tests {
    use super::{Trie, sorted};

    #[test]
    fn pieces_are_in_the_order_of_bytes() {
        let mut entries: Vec<(&[u8], u32)> =
            vec![(b"ab", 3), (b"ab\0", 2), (b"abcdefgh", 9), (b"abcdefgh\0", 8)];
        entries.extend([(&b"abcdefghi"[..], 1), (b"a", 5), (b"\xff", 7), (b"", 6), (b"ab", 4)]);
        let found = sorted(entries.clone());
        entries.sort_unstable();
        assert_eq!(found, entries);
    }

    #[test]
    fn takes_the_longest_piece() {
        let trie = Trie::new(vec![(b"ab", 3), (b"a", 1), (b"abcd", 4), (b"b", 2)]);
        assert_eq!(
            trie.longest(b"abc"),
            Some((2, 3)),
            "abc leads towards abcd but ends on no token"
        );
        assert_eq!(trie.longest(b"abcde"), Some((4, 4)));
        assert_eq!(trie.longest(b"aab"), Some((1, 1)));
        assert_eq!(trie.longest(b"cab"), None);
        assert_eq!(trie.longest(b""), None);
    }
}
