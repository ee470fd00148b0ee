package evasion

import (
	"context"
	"fmt"
	"math"
	"slices"

	"assay"
	"assay/internal/criteria"
	"assay/internal/method"
	"assay/internal/method/evasion/linear"
	"assay/onnx"
)

// knownTree is the methods for trees on a tree of which the exact answer is known: it gives the second class
// where one number is above a threshold, or another above its own.
func (k *controller) knownTree(ctx context.Context, inputs []method.Input) (*Known, error) {
	if k.TreesOf == nil || len(k.Trees) == 0 {
		return nil, nil
	}
	domain := linear.Relaxed(k.target.Domain)
	s := newStump(domain, k.Attacker.Norm, inputs)
	if s == nil {
		return nil, nil
	}
	graph := s.model(len(domain.Low))
	t, closing, err := k.Open(ctx, graph)
	if err != nil {
		return nil, fmt.Errorf("the tree of the controls: %w", err)
	}
	defer closing()
	t.Domain, t.Pool = domain, k.target.Pool
	out := &Known{Factor: 1}
	var limits []float64
	var units []method.Input
	for _, in := range inputs {
		if limit := s.limit(in.X); !math.IsInf(limit, 1) {
			in.Label = s.class(in.X)
			units, limits = append(units, in), append(limits, limit)
		}
	}
	var ok bool
	if out.Eps, ok = linear.Median(limits); !ok || out.Eps == 0 {
		return nil, nil
	}
	out.Eps *= 1 + 2*rounding // where all limits are the same, as in L0, it suffices for them
	attacker := method.Attacker{Access: assay.Gradients, Norm: k.Attacker.Norm, Eps: out.Eps}
	results, err := method.Run(ctx, t, attacker, k.TreesOf(graph), units, k.options)
	if err != nil {
		return nil, fmt.Errorf("on the tree of the controls: %w", err)
	}
	for i, r := range results {
		out.Exact = append(out.Exact, Answer{units[i].Index, limits[i], !r.Robust})
	}
	return out, nil
}

// stump is the tree.
type stump struct {
	domain  *method.Domain
	norm    method.Norm
	numbers [2]int
	values  [2]float32
}

// newStump takes the two numbers that vary most in their scale, split at their upper thirds; nil where there are not two.
func newStump(d *method.Domain, norm method.Norm, inputs []method.Input) *stump {
	s, spread := &stump{domain: d, norm: norm}, [2]float64{}
	for j := range d.Low {
		var column []float32
		for _, in := range inputs {
			column = append(column, in.X[j])
		}
		slices.Sort(column)
		if len(column) < 3 || d.Fixed[j] {
			continue
		}
		third := column[len(column)*2/3]
		if wide := float64(column[len(column)-1]-column[0]) / float64(d.Scale[j]); third < column[len(column)-1] && wide > spread[1] {
			s.numbers[1], s.values[1], spread[1] = j, third, wide
			if wide > spread[0] {
				s.numbers[0], s.numbers[1] = s.numbers[1], s.numbers[0]
				s.values[0], s.values[1] = s.values[1], s.values[0]
				spread[0], spread[1] = spread[1], spread[0]
			}
		}
	}
	if spread[1] == 0 {
		return nil
	}
	return s
}

func (s *stump) class(x []float32) int {
	if x[s.numbers[0]] > s.values[0] || x[s.numbers[1]] > s.values[1] {
		return 1
	}
	return 0
}

// limit is the eps from which on an input's class can change: over the nearer threshold, or back over all that it is beyond.
func (s *stump) limit(x []float32) float64 {
	space := &method.Space{Domain: s.domain, Norm: s.norm, Clean: x}
	up, back := math.Inf(1), slices.Clone(x)
	for k, j := range s.numbers {
		if x[j] > s.values[k] {
			back[j] = s.values[k]
			continue
		}
		over := slices.Clone(x)
		if over[j] = math.Nextafter32(s.values[k], math.MaxFloat32); over[j] <= s.domain.High[j] {
			up = min(up, space.Distance(over))
		}
	}
	if s.class(x) == 0 {
		return up
	}
	return space.Distance(back)
}

// model is the tree in ONNX.
func (s *stump) model(width int) *onnx.Model {
	b := onnx.NewBuilder("tree")
	x := b.Input("x", onnx.Float32, "batch", width)
	zeros := []int64{0, 0, 0, 0, 0}
	b.Add("TreeEnsembleClassifier", onnx.Attrs{
		"nodes_treeids": zeros, "nodes_nodeids": []int64{0, 1, 2, 3, 4},
		"nodes_featureids": []int64{int64(s.numbers[0]), int64(s.numbers[1]), 0, 0, 0}, "nodes_values": []float32{s.values[0], s.values[1], 0, 0, 0},
		"nodes_modes":       []string{"BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF"},
		"nodes_truenodeids": []int64{1, 2, 0, 0, 0}, "nodes_falsenodeids": []int64{4, 3, 0, 0, 0},
		"class_treeids": []int64{0, 0, 0, 0, 0, 0}, "class_nodeids": []int64{2, 2, 3, 3, 4, 4}, "class_ids": []int64{0, 1, 0, 1, 0, 1},
		"class_weights": []float32{1, 0, 0, 1, 0, 1}, "classlabels_int64s": []int64{0, 1}, "post_transform": "NONE",
	}, []string{x}, []string{"label", "probabilities"}).Domain = "ai.onnx.ml"
	b.Output("probabilities", onnx.Float32, onnx.Dims("batch", 2))
	m := b.Model()
	m.Opsets["ai.onnx.ml"] = 3
	return m
}

// knownTree holds the methods for trees to the answers of the tree: those that can be broken are, and no others.
func (e *Evidence) knownTree() criteria.Check {
	can, did := 0, 0
	k := e.Controls.Tree
	for _, a := range k.Exact {
		if a.Limit*(1+rounding) < k.Eps {
			can++
			if a.Broken {
				did++
			}
		}
	}
	cannot, wrong := k.unbreakable()
	return passed("known-tree", did == can && wrong == 0 && can+cannot > 0,
		"of a tree with a known answer, at eps %.4g %d of %d units that can be broken were, and %d of the %d that nobody can break", k.Eps, did, can, wrong, cannot)
}
