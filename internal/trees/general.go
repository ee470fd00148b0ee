package trees

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/onnx"
)

// lists is the attributes of the operator TreeEnsemble, of which nodes and leaves are numbered each by themselves.
type lists struct {
	features, yes, no, yesLeaf, noLeaf, missing []int64
	modes                                       []int64
	splits                                      []float64
	targets                                     []int64
	weights                                     []float64
	members                                     [][]float32 // of node i, nil where it has none
}

func (e *Ensemble) readGeneral(n *onnx.Node) (err error) {
	e.targets = int(min(max(n.Int("n_targets", 1), 0), maxNodes))
	if err := numbered(n, "aggregate_function", 1, len(aggregates), &e.by); err != nil {
		return err
	}
	if err := numbered(n, "post_transform", 0, len(transforms), &e.post); err != nil {
		return err
	}
	l := &lists{
		features: n.Ints("nodes_featureids"), yes: n.Ints("nodes_truenodeids"), no: n.Ints("nodes_falsenodeids"),
		yesLeaf: n.Ints("nodes_trueleafs"), noLeaf: n.Ints("nodes_falseleafs"), missing: n.Ints("nodes_missing_value_tracks_true"),
		targets: n.Ints("leaf_targetids"),
	}
	if l.splits, err = float32s(n, "nodes_splits"); err != nil {
		return err
	}
	if l.weights, err = float32s(n, "leaf_weights"); err != nil {
		return err
	}
	kinds := n.Tensor("nodes_modes")
	if kinds == nil || kinds.Type != onnx.Uint8 {
		return errors.New("nodes_modes is no tensor of uint8")
	}
	if l.modes, err = kinds.Int64s(); err != nil {
		return err
	}
	if err := l.check(e.targets); err != nil {
		return err
	}
	if err := l.readMembers(n); err != nil {
		return err
	}
	seen := make([]bool, len(l.features))
	for i, root := range n.Ints("tree_roots") {
		t, err := l.tree(root, seen)
		if err != nil {
			return fmt.Errorf("tree %d: %w", i, err)
		}
		e.trees = append(e.trees, t)
	}
	return nil
}

// numbered reads an attribute that is one of so many numbers.
func numbered[T ~uint8](n *onnx.Node, name string, otherwise int64, of int, to *T) error {
	v := n.Int(name, otherwise)
	if v < 0 || v >= int64(of) {
		return fmt.Errorf("its %s is %d, and 0 to %d are known", name, v, of-1)
	}
	*to = T(v)
	return nil
}

func float32s(n *onnx.Node, name string) ([]float64, error) {
	t := n.Tensor(name)
	if t == nil || t.Type != onnx.Float32 {
		return nil, fmt.Errorf("%s is no tensor of float32, and others are not supported: convert the model to float32", name)
	}
	return t.Float64s()
}

func (l *lists) check(targets int) error {
	n := len(l.features)
	if n == 0 || n > maxNodes {
		return fmt.Errorf("it has %d nodes, and 1 to %d are read", n, maxNodes)
	}
	for _, have := range []int{len(l.yes), len(l.no), len(l.yesLeaf), len(l.noLeaf), len(l.modes), len(l.splits)} {
		if have != n {
			return fmt.Errorf("one of its lists has %d entries for %d nodes", have, n)
		}
	}
	if len(l.missing) != 0 && len(l.missing) != n {
		return fmt.Errorf("nodes_missing_value_tracks_true has %d entries for %d nodes", len(l.missing), n)
	}
	if len(l.weights) != len(l.targets) {
		return fmt.Errorf("its leaves have %d weights and %d targets", len(l.weights), len(l.targets))
	}
	for i, m := range l.modes {
		if m < 0 || m >= int64(leaf) {
			return fmt.Errorf("node %d has the mode %d, which is not known", i, m)
		}
	}
	for i, t := range l.targets {
		if t < 0 || t >= int64(targets) {
			return fmt.Errorf("leaf %d is for target %d, and there are %d", i, t, targets)
		}
	}
	return nil
}

// readMembers reads the sets of those nodes that ask about membership, which are listed one after the other, each ended by a NaN.
func (l *lists) readMembers(n *onnx.Node) error {
	l.members = make([][]float32, len(l.features))
	var values []float64
	if n.Tensor("membership_values") != nil {
		var err error
		if values, err = float32s(n, "membership_values"); err != nil {
			return err
		}
	}
	for i, m := range l.modes {
		if mode(m) != member {
			continue
		}
		end := slices.IndexFunc(values, math.IsNaN)
		if end < 0 {
			return fmt.Errorf("membership_values has no set for node %d, ended by a NaN", i)
		}
		for _, v := range values[:end] {
			l.members[i] = append(l.members[i], float32(v))
		}
		slices.Sort(l.members[i])
		values = values[end+1:]
	}
	return nil
}

// tree gives the tree below a root, whose nodes may each be come to once.
func (l *lists) tree(root int64, seen []bool) (tree, error) {
	t := tree{{}}
	type todo struct {
		from  int64
		leaf  bool
		to    int32
		depth int
	}
	for stack := []todo{{root, false, 0, 0}}; len(stack) > 0; {
		next := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		i := next.from
		if next.leaf {
			if i < 0 || i >= int64(len(l.targets)) {
				return nil, fmt.Errorf("a node leads to leaf %d, and there are %d", i, len(l.targets))
			}
			t[next.to] = node{mode: leaf, weights: []weight{{int32(l.targets[i]), float32(l.weights[i])}}}
			continue
		}
		if i < 0 || i >= int64(len(l.features)) {
			return nil, fmt.Errorf("a node leads to node %d, and there are %d", i, len(l.features))
		}
		if seen[i] {
			return nil, fmt.Errorf("node %d is below two others, or below itself", i)
		}
		if seen[i] = true; next.depth > maxDepth {
			return nil, fmt.Errorf("node %d is deeper than %d nodes, and such trees are not read", i, maxDepth)
		}
		yes, no := int32(len(t)), int32(len(t)+1)
		t = append(t, node{}, node{})
		t[next.to] = node{
			mode: mode(l.modes[i]), feature: int32(min(max(l.features[i], -1), math.MaxInt32)), value: float32(l.splits[i]),
			members: l.members[i], missing: len(l.missing) > 0 && l.missing[i] != 0, yes: yes, no: no,
		}
		stack = append(stack, todo{l.no[i], l.noLeaf[i] != 0, no, next.depth + 1}, todo{l.yes[i], l.yesLeaf[i] != 0, yes, next.depth + 1})
	}
	return t, nil
}
