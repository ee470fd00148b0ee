package poisoning

import (
	"context"
	"math/rand/v2"
)

// ConfidentLearning suspects labels that a model, which has not seen the record, confidently takes for
// wrong (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068, section 3.1). Records off the diagonal of the
// confident joint come before all others, each of both by how much more probable another class is
// than the label's (their "normalized margin").
type ConfidentLearning struct{}

// Describe implements Detector.
func (ConfidentLearning) Describe() Description {
	return Description{Name: "confident-learning", Needs: []Need{Probabilities}, Reference: "Northcutt et al. 2021 (arXiv:1911.00068), equations 1 and 2"}
}

// Suspect implements Detector.
func (c ConfidentLearning) Suspect(_ context.Context, r *Records, _ *rand.Rand) ([]float64, error) {
	if err := r.Check(c.Describe()); err != nil {
		return nil, err
	}
	_, takenFor := r.confident()
	out := make([]float64, len(r.Labels))
	for i, label := range r.Labels {
		p := r.Probabilities.Row(i)
		other := 0.0
		for j, v := range p {
			if j != label {
				other = max(other, float64(v))
			}
		}
		out[i] = other - float64(p[label]) // from -1 to 1
		if takenFor[i] >= 0 && takenFor[i] != label {
			out[i] += 2
		}
	}
	return out, nil
}

// ConfidentJoint counts records by their label and the class that they are confidently taken
// for (equation 1). Records that are taken for none are not in it.
func (r *Records) ConfidentJoint() ([][]int, error) {
	if err := r.Check(ConfidentLearning{}.Describe()); err != nil {
		return nil, err
	}
	joint, _ := r.confident()
	return joint, nil
}

// confident gives the joint, and for each record the class that it is confidently taken for: of
// those whose probability is at least their threshold the most probable, -1 for none. A class's threshold is
// the mean probability that its own records have (equation 2).
func (r *Records) confident() (joint [][]int, takenFor []int) {
	thresholds := make([]float64, r.Classes)
	for class, members := range r.byLabel() {
		sum := 0.0
		for _, i := range members {
			sum += float64(r.Probabilities.Row(i)[class])
		}
		thresholds[class] = sum / float64(max(len(members), 1))
		if len(members) == 0 {
			thresholds[class] = 2 // nobody says what is confident
		}
	}
	joint = make([][]int, r.Classes)
	for i := range joint {
		joint[i] = make([]int, r.Classes)
	}
	takenFor = make([]int, len(r.Labels))
	for i, label := range r.Labels {
		takenFor[i] = -1
		p := r.Probabilities.Row(i)
		for j, v := range p {
			if float64(v) >= thresholds[j] && (takenFor[i] < 0 || v > p[takenFor[i]]) {
				takenFor[i] = j
			}
		}
		if takenFor[i] >= 0 {
			joint[label][takenFor[i]]++
		}
	}
	return joint, takenFor
}
