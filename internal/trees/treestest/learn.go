package treestest

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Table is records with the class of each.
type Table struct {
	Rows   [][]float32
	Labels []int
}

// Forest is a random forest (Breiman 2001): trees of a depth, each on a bootstrap sample and with √n numbers to choose from
// at each node, whose leaves hold the classes' shares by the number of trees. skl2onnx exports one so.
func Forest(t Table, classes, trees, depth int, seed uint64) Spec {
	r := rand.New(rand.NewPCG(seed, 7))
	width := len(t.Rows[0])
	s := Spec{Op: "TreeEnsembleClassifier", Width: width, Targets: classes, ZipMap: true}
	target := make([]float64, len(t.Rows))
	for range trees {
		sample := make([]int, len(t.Rows))
		for i := range sample {
			sample[i] = r.IntN(len(t.Rows))
		}
		g := &grower{table: t, rand: r, choose: max(int(math.Sqrt(float64(width))), 1), target: target}
		g.impurity = func(of []int) float64 { return gini(t.Labels, of, classes) }
		g.leaf = func(of []int) []Weight {
			out := make([]Weight, classes)
			for k := range out {
				out[k].Target = k
			}
			for _, i := range of {
				out[t.Labels[i]].Value += 1 / float32(len(of)*trees)
			}
			return out
		}
		s.Trees = append(s.Trees, g.grow(sample, depth))
	}
	return s
}

// Boosted is gradient boosting of two classes by the logistic loss (Friedman 2001, Algorithm 5): trees on the
// residuals, with Newton steps in the leaves. XGBoost and LightGBM export one so.
func Boosted(t Table, trees, depth int, rate float64, seed uint64) Spec {
	r := rand.New(rand.NewPCG(seed, 8))
	s := Spec{Op: "TreeEnsembleClassifier", Width: len(t.Rows[0]), Targets: 2, Post: "LOGISTIC", ZipMap: true}
	margin, residual := make([]float64, len(t.Rows)), make([]float64, len(t.Rows))
	everyone := make([]int, len(t.Rows))
	for i := range everyone {
		everyone[i] = i
	}
	for range trees {
		for i, y := range t.Labels {
			residual[i] = float64(y) - 1/(1+math.Exp(-margin[i]))
		}
		g := &grower{table: t, rand: r, choose: len(t.Rows[0]), target: residual}
		g.impurity = func(of []int) float64 { return variance(residual, of) }
		g.leaf = func(of []int) []Weight {
			up, down := 0.0, 1e-3
			for _, i := range of {
				p := float64(t.Labels[i]) - residual[i]
				up += residual[i]
				down += p * (1 - p)
			}
			step := float32(rate * up / down)
			for _, i := range of {
				margin[i] += float64(step)
			}
			return []Weight{{0, step}}
		}
		s.Trees = append(s.Trees, g.grow(everyone, depth))
	}
	return s
}

// grower grows one tree (Breiman et al. 1984, CART).
type grower struct {
	table    Table
	rand     *rand.Rand
	choose   int // numbers that a node may ask about
	target   []float64
	impurity func(of []int) float64 // times the number of records
	leaf     func(of []int) []Weight
}

func (g *grower) grow(of []int, depth int) *Node {
	if depth == 0 || len(of) < 4 || g.impurity(of) < 1e-9 {
		return &Node{Weights: g.leaf(of)}
	}
	feature, value, best := 0, float32(0), math.Inf(1)
	for _, j := range g.rand.Perm(len(g.table.Rows[0]))[:g.choose] {
		sorted := slices.Clone(of)
		slices.SortStableFunc(sorted, func(a, b int) int { return compare(g.table.Rows[a][j], g.table.Rows[b][j]) })
		var ends []int // of runs of equal values
		for k := 1; k < len(sorted); k++ {
			if g.table.Rows[sorted[k-1]][j] != g.table.Rows[sorted[k]][j] {
				ends = append(ends, k)
			}
		}
		for i := len(ends) / 32; i < len(ends); i += len(ends)/16 + 1 {
			k := ends[i]
			a, b := g.table.Rows[sorted[k-1]][j], g.table.Rows[sorted[k]][j]
			if v := g.impurity(sorted[:k]) + g.impurity(sorted[k:]); v < best {
				feature, value, best = j, a+(b-a)/2, v
			}
		}
	}
	var yes, no []int
	for _, i := range of {
		if g.table.Rows[i][feature] <= value {
			yes = append(yes, i)
		} else {
			no = append(no, i)
		}
	}
	if math.IsInf(best, 1) || len(yes) == 0 || len(no) == 0 {
		return &Node{Weights: g.leaf(of)}
	}
	return &Node{Mode: "BRANCH_LEQ", Feature: feature, Value: value, Yes: g.grow(yes, depth-1), No: g.grow(no, depth-1)}
}

func compare(a, b float32) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func gini(labels, of []int, classes int) float64 {
	count := make([]float64, classes)
	for _, i := range of {
		count[labels[i]]++
	}
	n, same := float64(len(of)), 0.0
	for _, c := range count {
		same += c * c
	}
	return n - same/n
}

func variance(values []float64, of []int) float64 {
	mean, out := 0.0, 0.0
	for _, i := range of {
		mean += values[i] / float64(len(of))
	}
	for _, i := range of {
		out += (values[i] - mean) * (values[i] - mean)
	}
	return out
}
