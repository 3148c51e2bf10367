//! The Merkle tree of RFC 9162 section 2.1 over SHA-256: leaves are hashed with a 0x00 before them and inner nodes with
//! a 0x01, so that no inner node can be passed off as a record.
//!
//! Complete nodes are stored in one flat sequence, each right after its two children ([`stored_index`]): a node never
//! changes once written, the file only grows, and any proof reads about 2·log₂(n) of them.

use portunus_core::digest::{Digest, sha256};

/// The hash of a record's line (RFC 9162 section 2.1.1).
#[must_use]
pub fn leaf_hash(line: &[u8]) -> Digest {
    sha256(&[&[0], line])
}

/// The hash of an inner node.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    sha256(&[&[1], &left.0, &right.0])
}

/// The root of the empty tree.
#[must_use]
pub fn empty_root() -> Digest {
    sha256(&[])
}

/// The tree while it grows: the roots of its complete subtrees, widest first; at most 64 hashes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Digest>,
}

impl Frontier {
    /// The frontier of the first `size` leaves, out of stored nodes.
    ///
    /// # Errors
    /// Whatever `node` gives.
    pub fn load<E>(size: u64, node: &mut impl FnMut(u64) -> Result<Digest, E>) -> Result<Self, E> {
        let mut nodes = Vec::new();
        let mut start = 0;
        for level in (0..u64::BITS).rev().filter(|level| size >> level & 1 == 1) {
            nodes.push(node(stored_index(level, start >> level))?);
            start += 1 << level;
        }
        Ok(Self { size, nodes })
    }

    /// How many leaves it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf and gives `store` each node that became complete, in the order of [`stored_index`].
    pub fn push(&mut self, leaf: Digest, mut store: impl FnMut(Digest)) {
        store(leaf);
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                node = node_hash(&left, &node);
                store(node);
            }
        }
        self.nodes.push(node);
        self.size += 1;
    }

    /// Goes on behind the first `size` leaves, of which only the roots of the complete subtrees are known, widest first; `None`
    /// when they are not as many as such a tree has.
    #[must_use]
    pub fn resume(size: u64, nodes: Vec<Digest>) -> Option<Self> {
        let fits = u64::try_from(nodes.len()).ok()? == u64::from(size.count_ones());
        fits.then_some(Self { size, nodes })
    }

    /// The root of the tree of `size` leaves whose further leaves are known only by the roots of their widest complete
    /// subtrees, in order, as [`Range::after`] has them; `None` when those are not as many as there must be.
    #[must_use]
    pub fn close(mut self, size: u64, after: &[Digest]) -> Option<Digest> {
        let mut rest = after.iter();
        while self.size < size {
            let level = widest(self.size, size);
            let mut node = *rest.next()?;
            for _ in 0..(self.size >> level).trailing_ones() {
                node = node_hash(&self.nodes.pop()?, &node);
            }
            self.nodes.push(node);
            self.size += 1 << level;
        }
        (self.size == size && rest.next().is_none()).then(|| self.root())
    }

    /// The root over all leaves so far.
    #[must_use]
    pub fn root(&self) -> Digest {
        let folded = self.nodes.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        folded.unwrap_or_else(empty_root)
    }
}

/// Where the node with this index at this level (0: leaves) stands among the stored nodes.
#[must_use]
pub fn stored_index(level: u32, index: u64) -> u64 {
    // The node is complete once the last leaf under it is, and follows that leaf after `level` other nodes.
    let last_leaf = ((index + 1) << level) - 1;
    stored_count(last_leaf) + u64::from(level)
}

/// How many nodes are stored for a tree of this size, which is also where the leaf of that index will stand.
#[must_use]
pub fn stored_count(size: u64) -> u64 {
    2 * size - u64::from(size.count_ones())
}

/// The proof that leaf `index` is in the tree of `size` leaves (RFC 9162 section 2.1.3.1), deepest node first.
/// `node` reads a stored node. Empty when there is no such leaf.
///
/// # Errors
/// Whatever `node` gives.
pub fn inclusion<E>(
    index: u64,
    size: u64,
    node: &mut impl FnMut(u64) -> Result<Digest, E>,
) -> Result<Vec<Digest>, E> {
    let mut proof = Vec::new();
    let (mut start, mut end) = (0, size);
    while index < size && end - start > 1 {
        let middle = start + split_point(end - start);
        if index < middle {
            proof.push(range_root(middle, end, node)?);
            end = middle;
        } else {
            proof.push(range_root(start, middle, node)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Whether `proof` shows that the leaf with this hash stands at `index` in the tree of this size and root
/// (RFC 9162 section 2.1.3.2).
#[must_use]
pub fn verify_inclusion(index: u64, size: u64, leaf: Digest, proof: &[Digest], root: &Digest) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for step in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(step, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// The proof that the tree of `old` leaves is a prefix of the one of `new` leaves (RFC 9162 section 2.1.4.1).
/// `node` reads a stored node. Empty when there is nothing to prove: `old` is 0, or not less than `new`.
///
/// # Errors
/// Whatever `node` gives.
pub fn consistency<E>(
    old: u64,
    new: u64,
    node: &mut impl FnMut(u64) -> Result<Digest, E>,
) -> Result<Vec<Digest>, E> {
    let mut proof = Vec::new();
    if old == 0 || old >= new {
        return Ok(proof);
    }
    // The subtree that still holds the old tree's edge; `whole` while it starts at the old tree's own root.
    let (mut start, mut end, mut whole) = (0, new, true);
    while end != old {
        let middle = start + split_point(end - start);
        if old <= middle {
            proof.push(range_root(middle, end, node)?);
            end = middle;
        } else {
            proof.push(range_root(start, middle, node)?);
            start = middle;
            whole = false;
        }
    }
    if !whole {
        proof.push(range_root(start, end, node)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Whether `proof` shows that the tree of `old` leaves and `old_root` is a prefix of the one of `new` leaves and
/// `new_root` (RFC 9162 section 2.1.4.2).
#[must_use]
pub fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Digest],
    old_root: &Digest,
    new_root: &Digest,
) -> bool {
    if old == 0 || old >= new {
        let same = old == new && old_root == new_root;
        let from_nothing = old == 0 && *old_root == empty_root();
        return proof.is_empty() && (same || (from_nothing && new > 0));
    }
    let (first, rest) = if old.is_power_of_two() {
        (*old_root, proof)
    } else {
        match proof.split_first() {
            Some((first, rest)) => (*first, rest),
            None => return false,
        }
    };
    let skipped = (old - 1).trailing_ones();
    let (mut node, mut last) = ((old - 1) >> skipped, (new - 1) >> skipped);
    let (mut old_hash, mut new_hash) = (first, first);
    for step in rest {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(step, &old_hash);
            new_hash = node_hash(step, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, step);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

/// What proves that a run of leaves stands in a tree, and that nothing between them is left out: everything before it and
/// everything after it, each by the roots of the widest complete subtrees. At most 128 hashes, however long the run is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Range {
    /// For [`Frontier::resume`] at the first leaf.
    pub before: Vec<Digest>,
    /// For [`Frontier::close`] behind the last.
    pub after: Vec<Digest>,
}

/// The proof that the leaves `start..end` are in the tree of `size` leaves. `node` reads a stored node. `start <= end <= size`.
///
/// # Errors
/// Whatever `node` gives.
pub fn range<E>(
    (start, end): (u64, u64),
    size: u64,
    node: &mut impl FnMut(u64) -> Result<Digest, E>,
) -> Result<Range, E> {
    let before = Frontier::load(start, node)?.nodes;
    let (mut after, mut at) = (Vec::new(), end);
    while at < size {
        let level = widest(at, size);
        after.push(node(stored_index(level, at >> level))?);
        at += 1 << level;
    }
    Ok(Range { before, after })
}

/// The level of the widest complete subtree that starts with leaf `at` in a tree of `size` leaves, which are more.
fn widest(at: u64, size: u64) -> u32 {
    at.trailing_zeros().min((size - at).ilog2())
}

/// The root of the leaves `start..end`, where `start` is a multiple of the widest complete subtree that fits.
fn range_root<E>(start: u64, end: u64, node: &mut impl FnMut(u64) -> Result<Digest, E>) -> Result<Digest, E> {
    let mut parts = Vec::new();
    let mut at = start;
    for level in (0..u64::BITS).rev().filter(|level| (end - start) >> level & 1 == 1) {
        parts.push(node(stored_index(level, at >> level))?);
        at += 1 << level;
    }
    Ok(parts.into_iter().rev().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root))
}

/// The largest power of two smaller than `leaves`, which is at least 2.
fn split_point(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ct_merkle::digest::Output;
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
    use proptest::prelude::*;
    use sha2::Sha256;
    use std::convert::Infallible;

    type Oracle = MemoryBackedTree<Sha256, Vec<u8>>;

    struct Tree {
        stored: Vec<Digest>,
        roots: Vec<Digest>,
    }

    impl Tree {
        fn of(leaves: u64) -> (Self, Oracle) {
            let (mut frontier, mut oracle) = (Frontier::default(), Oracle::new());
            let (mut stored, mut roots) = (Vec::new(), vec![frontier.root()]);
            for leaf in 0..leaves {
                let line = leaf.to_be_bytes();
                frontier.push(leaf_hash(&line), |node| stored.push(node));
                oracle.push(line.to_vec());
                roots.push(frontier.root());
            }
            (Self { stored, roots }, oracle)
        }
        fn node(&self) -> impl FnMut(u64) -> Result<Digest, Infallible> {
            |index| Ok(self.stored[index as usize])
        }
    }

    fn output(digest: &Digest) -> Output<Sha256> {
        digest.0.into()
    }

    fn bytes(proof: &[Digest]) -> Vec<u8> {
        proof.iter().flat_map(|digest| digest.0).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn roots_and_proofs_are_those_of_the_oracle(size in 1_u64..300, pick in any::<prop::sample::Index>()) {
            let (tree, oracle) = Tree::of(size);
            let root = tree.roots[size as usize];
            let their_root = oracle.root();
            prop_assert_eq!(their_root.as_bytes(), &output(&root));
            prop_assert_eq!(tree.stored.len() as u64, stored_count(size));

            let index = pick.index(size as usize) as u64;
            let Ok(proof) = inclusion(index, size, &mut tree.node());
            let theirs = oracle.prove_inclusion(index as usize);
            prop_assert_eq!(theirs.as_bytes(), &bytes(&proof)[..]);
            let leaf = leaf_hash(&index.to_be_bytes());
            prop_assert!(verify_inclusion(index, size, leaf, &proof, &root));
            let checked = oracle.root().verify_inclusion(
                &index.to_be_bytes().to_vec(), index,
                &InclusionProof::try_from_bytes(bytes(&proof)).unwrap());
            prop_assert!(checked.is_ok());

            let old = index + 1;
            let Ok(proof) = consistency(old, size, &mut tree.node());
            let theirs = oracle.prove_consistency((size - old) as usize);
            prop_assert_eq!(theirs.as_bytes(), &bytes(&proof)[..]);
            let old_root = tree.roots[old as usize];
            prop_assert!(verify_consistency(old, size, &proof, &old_root, &root));
            let checked = oracle.root().verify_consistency(
                &RootHash::new(output(&old_root), old),
                &ConsistencyProof::try_from_bytes(bytes(&proof)).unwrap());
            prop_assert!(checked.is_ok());
        }

        #[test]
        fn a_frontier_loaded_from_stored_nodes_goes_on_like_the_original(size in 0_u64..300) {
            let (tree, _) = Tree::of(301);
            let Ok(mut frontier) = Frontier::load(size, &mut tree.node());
            prop_assert_eq!(frontier.root(), tree.roots[size as usize]);
            let mut next = Vec::new();
            frontier.push(leaf_hash(&size.to_be_bytes()), |node| next.push(node));
            let start = stored_count(size) as usize;
            prop_assert_eq!(&tree.stored[start..start + next.len()], &next[..]);
            prop_assert_eq!(frontier.root(), tree.roots[size as usize + 1]);
        }

        #[test]
        fn a_run_of_leaves_is_proven_whole_and_nothing_else_is(
            size in 1_u64..200, picks in any::<[prop::sample::Index; 3]>(), bit in 0_usize..256,
        ) {
            let (tree, _) = Tree::of(size);
            let root = tree.roots[size as usize];
            let start = picks[0].index(size as usize) as u64;
            let end = start + picks[1].index((size - start) as usize + 1) as u64;
            let Ok(proof) = range((start, end), size, &mut tree.node());
            prop_assert!(proof.before.len() + proof.after.len() <= 128);
            let leaves: Vec<Digest> = (start..end).map(|leaf| leaf_hash(&leaf.to_be_bytes())).collect();
            let closed = |start: u64, leaves: &[Digest], proof: &Range| {
                let mut frontier = Frontier::resume(start, proof.before.clone())?;
                leaves.iter().for_each(|leaf| frontier.push(*leaf, |_| ()));
                frontier.close(size, &proof.after)
            };
            prop_assert_eq!(closed(start, &leaves, &proof), Some(root));
            if let [first, .., last] = leaves[..] {
                prop_assert_ne!(closed(start, &leaves[1..], &proof), Some(root), "without the first");
                prop_assert_ne!(closed(start, &leaves[..leaves.len() - 1], &proof), Some(root));
                let mut other = leaves.clone();
                other.insert(picks[2].index(leaves.len()), last);
                prop_assert_ne!(closed(start, &other, &proof), Some(root), "one more");
                let mut swapped = leaves.clone();
                (swapped[0], swapped[leaves.len() - 1]) = (last, first);
                prop_assert_ne!(closed(start, &swapped, &proof), Some(root));
            }
            let mut other = proof.clone();
            if let Some(hash) = other.before.iter_mut().chain(&mut other.after).next() {
                hash.0[bit / 8] ^= 1 << (bit % 8);
                prop_assert_ne!(closed(start, &leaves, &other), Some(root));
            }
            let mut longer = proof.clone();
            longer.after.push(root);
            prop_assert_eq!(closed(start, &leaves, &longer), None);
            prop_assert!(start == 0 || closed(start - 1, &leaves, &proof) != Some(root));
        }

        #[test]
        fn a_proof_does_not_hold_for_anything_else(
            size in 2_u64..200, pick in any::<prop::sample::Index>(), bit in 0_usize..256,
        ) {
            let (tree, _) = Tree::of(size);
            let root = tree.roots[size as usize];
            let index = pick.index(size as usize) as u64;
            let leaf = leaf_hash(&index.to_be_bytes());
            let Ok(mut proof) = inclusion(index, size, &mut tree.node());
            prop_assert!(!verify_inclusion((index + 1) % size, size, leaf, &proof, &root));
            prop_assert!(!verify_inclusion(index + size, size, leaf, &proof, &root));
            prop_assert!(!verify_inclusion(index, size, leaf_hash(b"other"), &proof, &root));
            prop_assert!(!verify_inclusion(index, size, leaf, &proof[1..], &root));
            let which = pick.index(proof.len());
            proof[which].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify_inclusion(index, size, leaf, &proof, &root));
            proof[which].0[bit / 8] ^= 1 << (bit % 8);
            proof.push(root);
            prop_assert!(!verify_inclusion(index, size, leaf, &proof, &root));

            let old = 1 + index % (size - 1);
            let old_root = tree.roots[old as usize];
            let Ok(mut proof) = consistency(old, size, &mut tree.node());
            prop_assert!(!verify_consistency(old, size, &proof, &root, &root));
            prop_assert!(!verify_consistency(old, size, &proof, &old_root, &old_root));
            prop_assert!(!verify_consistency(old, size, &proof[1..], &old_root, &root));
            let which = pick.index(proof.len());
            proof[which].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify_consistency(old, size, &proof, &old_root, &root));
        }
    }

    #[test]
    fn trees_of_equal_and_of_no_size_need_no_proof() {
        let (tree, _) = Tree::of(5);
        let Ok(proof) = consistency(5, 5, &mut tree.node());
        assert!(verify_consistency(5, 5, &proof, &tree.roots[5], &tree.roots[5]));
        assert!(!verify_consistency(5, 5, &proof, &tree.roots[4], &tree.roots[5]));
        assert!(verify_consistency(0, 5, &[], &tree.roots[0], &tree.roots[5]));
        assert!(!verify_consistency(0, 5, &[], &tree.roots[1], &tree.roots[5]));
        assert!(!verify_consistency(5, 4, &[], &tree.roots[5], &tree.roots[4]));
    }

    #[test]
    fn the_known_roots_of_rfc_6962_test_data_come_out() {
        // Google's certificate-transparency test vectors.
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let mut frontier = Frontier::default();
        assert!(frontier.root().hex().starts_with("e3b0c44298fc1c14"));
        for leaf in leaves {
            frontier.push(leaf_hash(leaf), |_| ());
        }
        assert_eq!(frontier.root().hex(), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    }
}
