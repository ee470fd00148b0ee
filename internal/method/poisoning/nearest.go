package poisoning

import (
	"context"
	"math"
	"math/rand/v2"
)

// Search finds the k nearest other rows of every row, by Euclidean distance.
type Search func(ctx context.Context, m Matrix, k int) (*Nearest, error)

// Nearest are the nearest neighbours of rows: K of each, the nearest first.
type Nearest struct {
	K        int
	Index    []int32   // K for each row, never the row itself
	Distance []float32 // beside Index
}

// Of gives the neighbours of a row and their distances, which are its own.
func (n *Nearest) Of(i int) ([]int32, []float32) {
	return n.Index[i*n.K : (i+1)*n.K], n.Distance[i*n.K : (i+1)*n.K]
}

// KNN suspects records whose neighbours in the feature space have other labels: Deep k-NN (Peri et al. 2020,
// arXiv:1909.13374, section 4). Where they count votes, here a neighbour at the distance d weighs
// exp(-(d/D)²), D being the distance of the farthest of the K, so that few records have the same suspicion.
type KNN struct {
	K      int // neighbours that are asked: 10 for 0
	Search Search
}

// Describe implements Detector.
func (KNN) Describe() Description {
	return Description{Name: "knn-disagreement", Needs: []Need{Features}, Reference: "Peri et al. 2020 (arXiv:1909.13374), section 4"}
}

// Suspect implements Detector. The numbers are from 0, all neighbours agree, to 1.
func (d KNN) Suspect(ctx context.Context, r *Records, _ *rand.Rand) ([]float64, error) {
	if err := r.Check(d.Describe()); err != nil {
		return nil, err
	}
	found, err := d.Search(ctx, r.Features, within(d.K, 10, len(r.Labels)-1))
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(r.Labels))
	for i, label := range r.Labels {
		votes := votes(r, found, i)
		all := 0.0
		for _, v := range votes {
			all += v
		}
		out[i] = ratio(all-votes[label], all)
	}
	return out, nil
}

// votes are what the neighbours of a record say of its class.
func votes(r *Records, found *Nearest, i int) []float64 {
	votes := make([]float64, r.Classes)
	near, distance := found.Of(i)
	scale := float64(distance[len(distance)-1])
	for k, j := range near {
		votes[r.Labels[j]] += math.Exp(-math.Pow(ratio(float64(distance[k]), scale), 2))
	}
	return votes
}

// NearDuplicates suspects records whose inputs have another close by, measured against how far the nearest is
// elsewhere: the median distance to the nearest over the record's own, 1 in the middle. Copies are how
// one source gets more weight than it should have. Records that are the same are at the top.
type NearDuplicates struct{ Search Search }

// Describe implements Detector.
func (NearDuplicates) Describe() Description {
	return Description{Name: "near-duplicates", Needs: []Need{Inputs}, Reference: "distance to the nearest neighbour against the median of all"}
}

// Suspect implements Detector.
func (d NearDuplicates) Suspect(ctx context.Context, r *Records, _ *rand.Rand) ([]float64, error) {
	if err := r.Check(d.Describe()); err != nil {
		return nil, err
	}
	out := make([]float64, len(r.Labels))
	if len(out) < 2 {
		return out, nil
	}
	found, err := d.Search(ctx, r.Inputs, 1)
	if err != nil {
		return nil, err
	}
	for i, v := range found.Distance {
		out[i] = float64(v)
	}
	typical := median(out)
	groups := r.Copies()
	for i := range out {
		// Distances by a product of matrices have an error: what is equal is known by its content.
		if groups[i] >= 0 {
			out[i] = math.MaxFloat64
		} else {
			out[i] = ratio(typical, max(out[i], 1e-6*typical))
		}
	}
	return out, nil
}

// Copies gives for each record the first that has the very same inputs, -1 where there is no other.
func (r *Records) Copies() []int {
	first := map[string]int{}
	out := make([]int, len(r.Labels))
	for i := range out {
		out[i] = -1
		key := key(r.Inputs.Row(i))
		if j, seen := first[key]; seen {
			out[i], out[j] = j, j
		} else {
			first[key] = i
		}
	}
	return out
}

// within is n where it is set, else the usual, and no more than there are.
func within(n, usual, most int) int {
	if n <= 0 {
		n = usual
	}
	return max(min(n, most), 1)
}
