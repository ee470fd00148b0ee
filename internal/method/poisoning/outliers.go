package poisoning

import (
	"context"
	"math"
	"math/rand/v2"
)

// Extremes suspects records with an input far from the middle of its column: the largest over the columns of
// the robust z, |x - median| over 1.4826 times the median absolute deviation (Iglewicz and Hoaglin 1993).
// A column of which most values are the same has no such deviation, and the standard deviation stands for it.
type Extremes struct{}

// Describe implements Detector.
func (Extremes) Describe() Description {
	return Description{Name: "robust-z", Needs: []Need{Inputs}, Reference: "Iglewicz and Hoaglin 1993, How to detect and handle outliers"}
}

// Suspect implements Detector.
func (d Extremes) Suspect(ctx context.Context, r *Records, _ *rand.Rand) ([]float64, error) {
	if err := r.Check(d.Describe()); err != nil {
		return nil, err
	}
	out := make([]float64, len(r.Labels))
	column, off := make([]float64, len(out)), make([]float64, len(out))
	for j := range r.Inputs.Width {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		squares := 0.0
		for i := range column {
			column[i] = float64(r.Inputs.Row(i)[j])
		}
		middle := median(column)
		for i, v := range column {
			off[i] = math.Abs(v - middle)
			squares += off[i] * off[i]
		}
		scale := 1.4826 * median(off)
		if scale == 0 {
			scale = math.Sqrt(squares / float64(len(off)))
		}
		for i, v := range off {
			out[i] = max(out[i], ratio(v, scale))
		}
	}
	return out, nil
}

// IsolationForest suspects records whose features random cuts soon set apart (Liu, Ting and Zhou 2008,
// Isolation forest, ICDM, Algorithms 1 to 3; the score is equation 2). Of inputs where OnInputs.
type IsolationForest struct {
	Trees    int // 100 for 0
	Sample   int // records of each tree: 256 for 0
	OnInputs bool
}

// Describe implements Detector.
func (d IsolationForest) Describe() Description {
	need := Features
	if d.OnInputs {
		need = Inputs
	}
	return Description{Name: "isolation-forest", Needs: []Need{need}, Reference: "Liu et al. 2008 (ICDM), Algorithms 1 to 3"}
}

// Suspect implements Detector. The numbers are between 0 and 1, 0.5 being usual.
func (d IsolationForest) Suspect(ctx context.Context, r *Records, rng *rand.Rand) ([]float64, error) {
	if err := r.Check(d.Describe()); err != nil {
		return nil, err
	}
	m := r.Features
	if d.OnInputs {
		m = r.Inputs
	}
	trees := within(d.Trees, 100, 10_000)
	sample := within(d.Sample, 256, m.Len())
	highest := int(math.Ceil(math.Log2(float64(max(sample, 2)))))
	out := make([]float64, m.Len())
	for range trees {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t := grow(m, rng.Perm(m.Len())[:sample], highest, rng)
		for i := range out {
			out[i] += t.depth(m.Row(i))
		}
	}
	for i := range out {
		out[i] = math.Pow(2, -ratio(out[i]/float64(trees), unsuccessful(sample)))
	}
	return out, nil
}

// tree is an isolation tree: a leaf has no parts.
type tree struct {
	column      int
	cut         float32
	under, over *tree
	size        int
}

func grow(m Matrix, members []int, height int, rng *rand.Rand) *tree {
	t := &tree{size: len(members)}
	if height == 0 || len(members) < 2 {
		return t
	}
	// A column in which the members differ, one of a few tries: where most are constant the tree ends.
	for range 10 {
		t.column = rng.IntN(m.Width)
		low, high := float32(math.Inf(1)), float32(math.Inf(-1))
		for _, i := range members {
			v := m.Row(i)[t.column]
			low, high = min(low, v), max(high, v)
		}
		if t.cut = low + rng.Float32()*(high-low); low < t.cut && t.cut <= high {
			break
		}
	}
	var under, over []int
	for _, i := range members {
		if m.Row(i)[t.column] < t.cut {
			under = append(under, i)
		} else {
			over = append(over, i)
		}
	}
	if len(under) == 0 || len(over) == 0 {
		return t
	}
	t.under, t.over = grow(m, under, height-1, rng), grow(m, over, height-1, rng)
	return t
}

// depth is how many cuts set a record apart, with what a leaf of several would still take.
func (t *tree) depth(row []float32) float64 {
	cuts := 0.0
	for t.under != nil {
		if row[t.column] < t.cut {
			t = t.under
		} else {
			t = t.over
		}
		cuts++
	}
	return cuts + unsuccessful(t.size)
}

// unsuccessful is the mean length of a search that fails in a binary tree of n records (equation 1).
func unsuccessful(n int) float64 {
	switch {
	case n < 2:
		return 0
	case n == 2:
		return 1
	}
	return 2*(math.Log(float64(n-1))+0.5772156649015329) - 2*float64(n-1)/float64(n)
}
