// Package treestest makes models of decision trees for tests: as drawn at random, and as learnt from data by the
// usual algorithms, in the form in which skl2onnx, XGBoost and LightGBM export them.
package treestest

import (
	"math"
	"math/rand/v2"

	"assay/onnx"
)

// Node is a node of a tree; one without branches is a leaf.
type Node struct {
	Mode    string // such as BRANCH_LEQ
	Feature int
	Value   float32
	Missing bool
	Yes, No *Node
	Weights []Weight // of a leaf
}

// Weight is what a leaf adds to a target.
type Weight struct {
	Target int
	Value  float32
}

// Spec is an ensemble, in the operator's own terms.
type Spec struct {
	Op             string // TreeEnsembleClassifier or TreeEnsembleRegressor
	Width, Targets int
	Trees          []*Node
	Base           []float32
	Aggregate      string // of a regressor; empty for SUM
	Post           string // empty for NONE
	After          string // an operator on a regressor's output, such as Sigmoid
	ZipMap         bool   // as skl2onnx ends a classifier
}

// Model gives the ensemble as an ONNX model.
func (s Spec) Model() *onnx.Model {
	b := onnx.NewBuilder("trees")
	x := b.Input("x", onnx.Float32, "batch", s.Width)
	a := s.attributes()
	var scores string
	if s.Op == "TreeEnsembleClassifier" {
		labels := make([]int64, s.Targets)
		for i := range labels {
			labels[i] = int64(i)
		}
		a["classlabels_int64s"] = labels
		label := b.Name("label")
		scores = b.Name("probabilities")
		b.Add(s.Op, a, []string{x}, []string{label, scores}).Domain = "ai.onnx.ml"
		b.Output(label, onnx.Int64, onnx.Dims("batch"))
		if s.ZipMap {
			b.Add("ZipMap", onnx.Attrs{"classlabels_int64s": labels}, []string{scores}, []string{b.Name("zipped")}).Domain = "ai.onnx.ml"
			number := onnx.TensorOf(onnx.Float32, onnx.Shape{})
			entry := onnx.Type{Kind: onnx.KindMap, Elem: onnx.Int64, Of: &number}
			b.Graph.Outputs = append(b.Graph.Outputs, onnx.Value{Name: "zipped", Type: onnx.Type{Kind: onnx.KindSequence, Of: &entry}})
		} else {
			b.Output(scores, onnx.Float32, onnx.Dims("batch", s.Targets))
		}
	} else {
		a["n_targets"] = int64(s.Targets)
		if s.Aggregate != "" {
			a["aggregate_function"] = s.Aggregate
		}
		scores = b.Name("scores")
		b.Add(s.Op, a, []string{x}, []string{scores}).Domain = "ai.onnx.ml"
		if s.After != "" {
			scores = b.Op(s.After, nil, scores)
		}
		b.Output(scores, onnx.Float32, onnx.Dims("batch", s.Targets))
	}
	m := b.Model()
	m.Opsets["ai.onnx.ml"] = 3
	return m
}

// attributes lists the nodes depth first, as the exporters do.
func (s Spec) attributes() onnx.Attrs {
	var trees, ids, features, yes, no, missing, wTree, wNode, wTarget []int64
	var values, weights []float32
	var modes []string
	for t, root := range s.Trees {
		id := int64(0)
		var list func(n *Node) int64
		list = func(n *Node) int64 {
			at, mine := len(ids), id
			id++
			trees, ids = append(trees, int64(t)), append(ids, mine)
			features, values = append(features, int64(n.Feature)), append(values, n.Value)
			yes, no, missing = append(yes, 0), append(no, 0), append(missing, 0)
			if n.Missing {
				missing[at] = 1
			}
			if n.Yes == nil {
				modes = append(modes, "LEAF")
				for _, w := range n.Weights {
					wTree, wNode = append(wTree, int64(t)), append(wNode, mine)
					wTarget, weights = append(wTarget, int64(w.Target)), append(weights, w.Value)
				}
				return mine
			}
			modes = append(modes, n.Mode)
			yes[at] = list(n.Yes)
			no[at] = list(n.No)
			return mine
		}
		list(root)
	}
	prefix := "target_"
	if s.Op == "TreeEnsembleClassifier" {
		prefix = "class_"
	}
	a := onnx.Attrs{
		"nodes_treeids": trees, "nodes_nodeids": ids, "nodes_featureids": features, "nodes_values": values, "nodes_modes": modes,
		"nodes_truenodeids": yes, "nodes_falsenodeids": no, "nodes_missing_value_tracks_true": missing,
		prefix + "treeids": wTree, prefix + "nodeids": wNode, prefix + "ids": wTarget, prefix + "weights": weights,
	}
	if s.Base != nil {
		a["base_values"] = s.Base
	}
	if s.Post != "" {
		a["post_transform"] = s.Post
	}
	return a
}

// General gives the sums of the ensemble by the operator TreeEnsemble, whose leaves weigh one target each, the first. Modes
// are those of the Spec, and a node of BRANCH_MEMBER asks whether its number is Value or one of the two whole numbers after it.
func (s Spec) General() *onnx.Model {
	names := []string{"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER"}
	var features, yes, no, yesLeaf, noLeaf, missing, roots, targets []int64
	var kinds []uint8
	var splits, weights, members []float32
	var list func(n *Node) (int64, int64)
	list = func(n *Node) (id, isLeaf int64) {
		if n.Yes == nil {
			targets, weights = append(targets, int64(n.Weights[0].Target)), append(weights, n.Weights[0].Value)
			return int64(len(targets) - 1), 1
		}
		at := len(features)
		features, splits = append(features, int64(n.Feature)), append(splits, n.Value)
		yes, no, yesLeaf, noLeaf, missing = append(yes, 0), append(no, 0), append(yesLeaf, 0), append(noLeaf, 0), append(missing, 0)
		if n.Missing {
			missing[at] = 1
		}
		for k, name := range names {
			if name == n.Mode {
				kinds = append(kinds, uint8(k))
			}
		}
		if n.Mode == "BRANCH_MEMBER" {
			members = append(members, n.Value, n.Value+1, n.Value+2, nan)
		}
		yes[at], yesLeaf[at] = list(n.Yes)
		no[at], noLeaf[at] = list(n.No)
		return int64(at), 0
	}
	for _, root := range s.Trees {
		id, _ := list(root)
		roots = append(roots, id)
	}
	a := onnx.Attrs{
		"n_targets": int64(s.Targets), "aggregate_function": int64(1), "post_transform": int64(0), "tree_roots": roots,
		"nodes_featureids": features, "nodes_truenodeids": yes, "nodes_falsenodeids": no, "nodes_trueleafs": yesLeaf, "nodes_falseleafs": noLeaf,
		"nodes_missing_value_tracks_true": missing, "nodes_modes": onnx.NewTensor("modes", kinds, int64(len(kinds))),
		"nodes_splits": onnx.NewTensor("splits", splits, int64(len(splits))), "leaf_targetids": targets,
		"leaf_weights": onnx.NewTensor("weights", weights, int64(len(weights))),
	}
	for k, name := range []string{"AVERAGE", "SUM", "MIN", "MAX"} {
		if name == s.Aggregate {
			a["aggregate_function"] = int64(k)
		}
	}
	if members != nil {
		a["membership_values"] = onnx.NewTensor("members", members, int64(len(members)))
	}
	b := onnx.NewBuilder("trees")
	x := b.Input("x", onnx.Float32, "batch", s.Width)
	b.Add("TreeEnsemble", a, []string{x}, []string{"scores"}).Domain = "ai.onnx.ml"
	b.Output("scores", onnx.Float32, onnx.Dims("batch", s.Targets))
	m := b.Model()
	m.Opsets["ai.onnx.ml"] = 5
	return m
}

// Shape is what a random ensemble is like.
type Shape struct {
	Width, Trees, Depth int
	Modes               []string
	Values              []float32                         // thresholds, of which each node draws one
	Leaf                func(r *rand.Rand) []Weight       // the weights of a leaf
	Stop                func(r *rand.Rand, left int) bool // whether a node is a leaf; nil for one in five
}

// Random draws trees.
func Random(r *rand.Rand, s Shape) []*Node {
	var grow func(left int) *Node
	grow = func(left int) *Node {
		stop := left < s.Depth && r.IntN(5) == 0
		if s.Stop != nil {
			stop = s.Stop(r, left)
		}
		if left == 0 || stop {
			return &Node{Weights: s.Leaf(r)}
		}
		return &Node{
			Mode: s.Modes[r.IntN(len(s.Modes))], Feature: r.IntN(s.Width), Value: s.Values[r.IntN(len(s.Values))],
			Missing: r.IntN(3) == 0, Yes: grow(left - 1), No: grow(left - 1),
		}
	}
	out := make([]*Node, s.Trees)
	for i := range out {
		out[i] = grow(s.Depth)
	}
	return out
}

var nan = float32(math.NaN())
