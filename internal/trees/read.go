package trees

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/internal/model"
	"assay/onnx"
)

// The operators, which are of the domain ai.onnx.ml.
const (
	domain     = "ai.onnx.ml"
	classifier = "TreeEnsembleClassifier"
	regressor  = "TreeEnsembleRegressor"
	general    = "TreeEnsemble"
)

// maxNodes is how many nodes an ensemble may have: more than any that is known, and few enough to be held.
const maxNodes = 1 << 24

// maxDepth is how deep a tree may be: deeper than any that is learnt, and few enough for a search that goes down.
const maxDepth = 4096

// Read gives the ensemble that a model consists of: its input, one ensemble of float32 trees, and
// what changes no order of the classes. The error says what else it has. Nothing that the file claims is believed: each tree
// must be one, every number and target within the row and the sums.
func Read(m *onnx.Model) (*Ensemble, error) {
	r, err := model.Recognise(m, model.Override{})
	if err != nil {
		return nil, err
	}
	if r.Output == model.Labels {
		return nil, errors.New("the model gives labels alone, and trees are searched by their scores")
	}
	g := r.Model.Graph
	e := &Ensemble{}
	n, err := e.back(g, g.Outputs[0].Name)
	if err != nil {
		return nil, err
	}
	if e.width, err = width(g, r, n); err != nil {
		return nil, fmt.Errorf("%s: %w", n, err)
	}
	if n.Op == general {
		err = e.readGeneral(n)
	} else {
		err = e.readClassic(n)
	}
	if err == nil {
		err = e.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n, err)
	}
	return e, nil
}

// back finds the trees behind an output.
func (e *Ensemble) back(g *onnx.Graph, value string) (*onnx.Node, error) {
	for range len(g.Nodes) + 1 {
		n := maker(g, value)
		if n == nil {
			return nil, errors.New("the model has no trees")
		}
		switch {
		case n.Domain == domain && slices.Contains([]string{classifier, regressor, general}, n.Op):
			if n.Op == classifier && n.Output(1) != value {
				return nil, fmt.Errorf("%s: the model gives its labels alone, and trees are searched by their scores", n)
			}
			return n, nil
		case n.Op == "Identity", n.Op == "Cast" && n.Int("to", 0) == int64(onnx.Float32):
		case (n.Op == "Softmax" || n.Op == "Sigmoid") && e.after == "":
			e.after = n.Op
		default:
			return nil, fmt.Errorf("the model is no ensemble of trees alone: it has the %s", n)
		}
		value = n.Input(0)
	}
	return nil, errors.New("the model has a cycle")
}

// width is the size of the rows that go into the trees just as the model gets them.
func width(g *onnx.Graph, r *model.Recognised, trees *onnx.Node) (int, error) {
	if len(r.Shape) != 1 {
		return 0, fmt.Errorf("its rows have the shape %v, and trees take numbers in a row", r.Shape)
	}
	for _, in := range r.Inputs {
		if in.Element != onnx.Float32 && in.Element != onnx.Float64 {
			return 0, fmt.Errorf("input %q is %s, and only float32 and float64 are read just as they are given", in.Name, in.Element)
		}
	}
	value := trees.Input(0)
	for range len(g.Nodes) + 1 {
		if len(r.Inputs) == 1 && r.Inputs[0].Name == value {
			if r.Inputs[0].Element == onnx.Float64 && trees.Input(0) == value {
				return 0, errors.New("it compares in float64, which is not supported: convert the model to float32")
			}
			return r.RowSize(), nil
		}
		n := maker(g, value)
		if n == nil {
			break
		}
		switch {
		case n.Op == "Concat" && slices.EqualFunc(n.Inputs, r.Inputs, func(name string, in model.Input) bool { return name == in.Name }):
			return r.RowSize(), nil
		case n.Op == "Identity", n.Op == "Cast" && n.Int("to", 0) == int64(onnx.Float32):
			value = n.Input(0)
			continue
		}
		return 0, fmt.Errorf("its input is changed before, by the %s", n)
	}
	return 0, errors.New("its input is not the model's")
}

func maker(g *onnx.Graph, value string) *onnx.Node {
	for _, n := range g.Nodes {
		if value != "" && slices.Contains(n.Outputs, value) {
			return n
		}
	}
	return nil
}

// modes are the names of the comparisons, in the order of their numbers.
var modes = []string{"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER", "LEAF"}

var transforms = []string{"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"}

var aggregates = []string{"AVERAGE", "SUM", "MIN", "MAX"}

// classic is the attributes of the older two operators, each list one entry a node or weight.
type classic struct {
	n                                *onnx.Node
	trees, ids, features, yes, no    []int64
	missing                          []int64
	values                           []float32
	modes                            []string
	weighTree, weighNode, weighClass []int64
	weights                          []float32
	place                            map[[2]int64]int // of a node in the lists, by tree and id
}

func (e *Ensemble) readClassic(n *onnx.Node) error {
	for _, name := range []string{"nodes_values_as_tensor", "base_values_as_tensor", "class_weights_as_tensor", "target_weights_as_tensor"} {
		if n.Tensor(name) != nil {
			return fmt.Errorf("it has %s, which is not supported: convert the model to float32", name)
		}
	}
	c := &classic{
		n: n, trees: n.Ints("nodes_treeids"), ids: n.Ints("nodes_nodeids"), features: n.Ints("nodes_featureids"),
		yes: n.Ints("nodes_truenodeids"), no: n.Ints("nodes_falsenodeids"), missing: n.Ints("nodes_missing_value_tracks_true"),
		values: n.Floats("nodes_values"), modes: n.Texts("nodes_modes"),
	}
	prefix := "target_"
	e.by, e.targets = sum, int(min(max(n.Int("n_targets", 1), 0), maxNodes))
	if n.Op == classifier {
		prefix, e.classifier = "class_", true
		e.targets = max(len(n.Texts("classlabels_strings")), len(n.Ints("classlabels_int64s")))
	} else if err := named(n, "aggregate_function", "SUM", aggregates, &e.by); err != nil {
		return err
	}
	if err := named(n, "post_transform", "NONE", transforms, &e.post); err != nil {
		return err
	}
	e.base = n.Floats("base_values")
	c.weighTree, c.weighNode = n.Ints(prefix+"treeids"), n.Ints(prefix+"nodeids")
	c.weighClass, c.weights = n.Ints(prefix+"ids"), n.Floats(prefix+"weights")
	if err := c.check(e.targets); err != nil {
		return err
	}
	return c.grow(e)
}

// named reads an attribute that is one of a list of names.
func named[T ~uint8](n *onnx.Node, name, otherwise string, names []string, to *T) error {
	at := slices.Index(names, n.Text(name, otherwise))
	if at < 0 {
		return fmt.Errorf("its %s %q is none of %q", name, n.Text(name, otherwise), names)
	}
	*to = T(at)
	return nil
}

func (c *classic) check(targets int) error {
	n := len(c.ids)
	if n == 0 || n > maxNodes {
		return fmt.Errorf("it has %d nodes, and 1 to %d are read", n, maxNodes)
	}
	for _, have := range []int{len(c.trees), len(c.features), len(c.yes), len(c.no), len(c.values), len(c.modes)} {
		if have != n {
			return fmt.Errorf("one of its lists has %d entries for %d nodes", have, n)
		}
	}
	if len(c.missing) != 0 && len(c.missing) != n {
		return fmt.Errorf("nodes_missing_value_tracks_true has %d entries for %d nodes", len(c.missing), n)
	}
	w := len(c.weights)
	if len(c.weighTree) != w || len(c.weighNode) != w || len(c.weighClass) != w {
		return fmt.Errorf("its leaves have %d weights, for which %d trees, %d nodes and %d targets are listed", w, len(c.weighTree), len(c.weighNode), len(c.weighClass))
	}
	for i, t := range c.weighClass {
		if t < 0 || t >= int64(targets) {
			return fmt.Errorf("weight %d is for target %d, and there are %d", i, t, targets)
		}
	}
	return nil
}

// grow makes the trees, each from the first of its nodes that is listed.
func (c *classic) grow(e *Ensemble) error {
	c.place = make(map[[2]int64]int, len(c.ids))
	ended := map[int64]bool{}
	var roots []int
	for i, id := range c.ids {
		key := [2]int64{c.trees[i], id}
		if _, twice := c.place[key]; twice {
			return fmt.Errorf("node %d of tree %d is listed twice", id, key[0])
		}
		c.place[key] = i
		if i == 0 || c.trees[i] != c.trees[i-1] {
			if ended[key[0]] {
				return fmt.Errorf("the nodes of tree %d are not listed together", key[0])
			}
			ended[key[0]] = true
			roots = append(roots, i)
		}
	}
	weights := make([][]weight, len(c.ids))
	for i, v := range c.weights {
		at, ok := c.place[[2]int64{c.weighTree[i], c.weighNode[i]}]
		if !ok {
			return fmt.Errorf("weight %d is for node %d of tree %d, which there is not", i, c.weighNode[i], c.weighTree[i])
		}
		weights[at] = append(weights[at], weight{int32(c.weighClass[i]), v})
	}
	e.oneClass, e.allPositive = one(c.weighClass), true
	for _, v := range c.weights {
		e.allPositive = e.allPositive && !(v < 0)
	}
	seen := make([]bool, len(c.ids))
	for _, root := range roots {
		t, err := c.tree(root, weights, seen)
		if err != nil {
			return fmt.Errorf("tree %d: %w", c.trees[root], err)
		}
		e.trees = append(e.trees, t)
	}
	return nil
}

// one reports whether a list names one class alone.
func one(ids []int64) bool {
	return len(ids) > 0 && slices.Min(ids) == slices.Max(ids)
}

// tree gives the tree below a root. Each node may be come to once, so that nothing is a cycle or grows beyond the file.
func (c *classic) tree(root int, weights [][]weight, seen []bool) (tree, error) {
	t := tree{{}}
	type todo struct {
		from  int   // in the lists
		to    int32 // in the tree
		depth int
	}
	for stack := []todo{{root, 0, 0}}; len(stack) > 0; {
		next := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		i := next.from
		if seen[i] {
			return nil, fmt.Errorf("node %d is below two others, or below itself", c.ids[i])
		}
		if seen[i] = true; next.depth > maxDepth {
			return nil, fmt.Errorf("node %d is deeper than %d nodes, and such trees are not read", c.ids[i], maxDepth)
		}
		n := node{feature: int32(min(max(c.features[i], -1), math.MaxInt32)), value: c.values[i], missing: len(c.missing) > 0 && c.missing[i] != 0}
		at := slices.Index(modes, c.modes[i])
		if at < 0 || mode(at) == member {
			return nil, fmt.Errorf("node %d has the mode %q, which is not known", c.ids[i], c.modes[i])
		}
		if n.mode = mode(at); n.mode == leaf {
			n.feature, n.weights = 0, weights[i]
			t[next.to] = n
			continue
		}
		for _, branch := range []struct {
			id int64
			to *int32
		}{{c.yes[i], &n.yes}, {c.no[i], &n.no}} {
			from, ok := c.place[[2]int64{c.trees[i], branch.id}]
			if !ok {
				return nil, fmt.Errorf("node %d leads to node %d, which there is not", c.ids[i], branch.id)
			}
			*branch.to = int32(len(t))
			stack = append(stack, todo{from, *branch.to, next.depth + 1})
			t = append(t, node{})
		}
		t[next.to] = n
	}
	return t, nil
}

// check holds the ensemble to what every one must satisfy.
func (e *Ensemble) check() error {
	switch {
	case e.targets < 1 || e.targets > model.MaxClasses || e.classifier && e.targets < 2:
		return fmt.Errorf("it has %d classes or targets", e.targets)
	case len(e.trees) == 0:
		return errors.New("it has no trees")
	case len(e.base) != 0 && len(e.base) != e.targets && !(e.classifier && e.targets == 2 && len(e.base) == 1):
		return fmt.Errorf("it has %d base values for %d classes or targets", len(e.base), e.targets)
	case e.after == "Sigmoid" && e.targets > 1:
		return fmt.Errorf("a Sigmoid of its %d sums is not supported", e.targets)
	case e.after == "Softmax" && (e.targets < 3 && e.classifier || e.targets < 2 || e.post != none):
		return errors.New("a Softmax of what it makes of its sums is not supported")
	}
	largest := make([]float64, e.targets)
	for k, t := range e.trees {
		for i := range t {
			n := &t[i]
			if n.feature < 0 || int(n.feature) >= e.width {
				return fmt.Errorf("a node of tree %d asks about number %d, and a row has %d", k, n.feature, e.width)
			}
			if n.mode == leaf && e.targets == 1 && len(n.weights) != 1 {
				return fmt.Errorf("a leaf of tree %d has %d weights, and where there is one target it must have one", k, len(n.weights))
			}
			if err := distinct(n.weights); err != nil {
				return fmt.Errorf("a leaf of tree %d %w", k, err)
			}
			for _, w := range n.weights {
				largest[w.target] += math.Abs(float64(w.value)) // no leaf weighs more than all
			}
		}
	}
	for _, b := range e.base {
		largest[0] += math.Abs(float64(b))
	}
	for _, v := range largest {
		if !(v < math.MaxFloat32/4) {
			return errors.New("its weights are not finite, or so large that their sum may not be")
		}
	}
	return nil
}

// distinct reports that a leaf weighs a target twice, which operators disagree about.
func distinct(weights []weight) error {
	for i, w := range weights {
		if i > 0 && slices.ContainsFunc(weights[:min(i, 64)], func(v weight) bool { return v.target == w.target }) {
			return fmt.Errorf("has two weights for target %d", w.target)
		}
	}
	return nil
}
