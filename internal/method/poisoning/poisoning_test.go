package poisoning

import (
	"cmp"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// Six records of two classes, worked out by hand: the thresholds are (0.9+0.8+0.2)/3 = 0.633 and
// (0.9+0.7+0.4)/3 = 0.667. Record 2 is labelled 0 and taken for 1, record 5 (0.6) for neither.
func TestConfidentJointByHand(t *testing.T) {
	r := &Records{
		Labels: []int{0, 0, 0, 1, 1, 1}, Classes: 2,
		Probabilities: Matrix{2, []float32{0.9, 0.1, 0.8, 0.2, 0.2, 0.8, 0.1, 0.9, 0.3, 0.7, 0.6, 0.4}},
	}
	joint, err := r.ConfidentJoint()
	if err != nil || !reflect.DeepEqual(joint, [][]int{{2, 1}, {0, 2}}) {
		t.Fatalf("%v, %v", joint, err)
	}
	got, err := ConfidentLearning{}.Suspect(t.Context(), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{-0.8, -0.6, 2.6, -0.8, -0.4, 0.2} {
		if math.Abs(got[i]-want) > 1e-6 {
			t.Errorf("record %d: %v, by hand %v", i, got[i], want)
		}
	}
}

// noisy gives records of a number of classes whose probabilities point to the true class, a
// share of them under another label.
func noisy(rng *rand.Rand, n, classes int, share float64) (*Records, []bool) {
	r := &Records{Classes: classes, Labels: make([]int, n), Probabilities: Matrix{classes, make([]float32, n*classes)}}
	wrong := make([]bool, n)
	for i := range n {
		truth := rng.IntN(classes)
		p := r.Probabilities.Row(i)
		sum := float32(0)
		for j := range p {
			p[j] = float32(math.Exp(rng.NormFloat64()))
			if j == truth {
				p[j] *= 40
			}
			sum += p[j]
		}
		for j := range p {
			p[j] /= sum
		}
		r.Labels[i] = truth
		if wrong[i] = rng.Float64() < share; wrong[i] {
			r.Labels[i] = (truth + 1 + rng.IntN(classes-1)) % classes
		}
	}
	return r, wrong
}

// recall is the share of planted records among as many of the most suspicious.
func recall(suspicion []float64, planted []bool) float64 {
	order := make([]int, len(suspicion))
	total := 0
	for i := range order {
		order[i] = i
		if planted[i] {
			total++
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(suspicion[b], suspicion[a]) })
	found := 0
	for _, i := range order[:total] {
		if planted[i] {
			found++
		}
	}
	return float64(found) / float64(total)
}

func TestConfidentLearningFindsFlips(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	begin := time.Now()
	r, wrong := noisy(rng, 50_000, 10, 0.05)
	got, err := ConfidentLearning{}.Suspect(t.Context(), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if part := recall(got, wrong); part < 0.9 {
		t.Errorf("of the flipped labels %.3f are among as many of the most suspicious", part)
	}
	t.Logf("50,000 records of 10 classes, with making them: %v", time.Since(begin))
	clean, _ := noisy(rng, 5000, 10, 0)
	got, err = ConfidentLearning{}.Suspect(t.Context(), clean, nil)
	if err != nil {
		t.Fatal(err)
	}
	off := 0
	for _, s := range got {
		if s > 1 {
			off++
		}
	}
	if off > 50 {
		t.Errorf("%d of 5000 right labels are confidently taken for wrong", off)
	}
}

// planted gives features of two classes, in the first of which a share is shifted along one direction.
func planted(rng *rand.Rand, n, width int, share, shift float64) (*Records, []bool) {
	r := &Records{Classes: 2, Labels: make([]int, n), Features: Matrix{width, make([]float32, n*width)}}
	bad := make([]bool, n)
	for i := range n {
		r.Labels[i] = i % 2
		bad[i] = i%2 == 0 && rng.Float64() < share
		for j := range r.Features.Row(i) {
			v := rng.NormFloat64()
			if bad[i] && j < 4 {
				v += shift / 2
			}
			r.Features.Row(i)[j] = float32(v)
		}
	}
	return r, bad
}

// The features of 5 % of a class are shifted by eight deviations: the direction of that is the class's
// first, and the shifted are the farthest along it.
func TestSpectralSignatures(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	r, bad := planted(rng, 4000, 40, 0.05, 8)
	got, err := SpectralSignatures{}.Suspect(t.Context(), r, rng)
	if err != nil {
		t.Fatal(err)
	}
	if part := recall(got, bad); part < 0.95 {
		t.Errorf("of the planted %.3f are among as many of the most suspicious", part)
	}
	// Without a shift those that were drawn as planted are like the others.
	same, drawn := planted(rng, 4000, 40, 0.05, 0)
	if got, err = (SpectralSignatures{}).Suspect(t.Context(), same, rng); err != nil {
		t.Fatal(err)
	}
	if part := recall(got, drawn); part > 0.15 {
		t.Errorf("of records like all others %.3f are among as many of the most suspicious", part)
	}
}

func TestTopDirection(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	m := Matrix{3, nil}
	var members []int
	for i := range 50_000 { // the axes have the deviations 3, 2 and 1
		m.Data = append(m.Data, float32(3*rng.NormFloat64())+7, float32(2*rng.NormFloat64()), float32(rng.NormFloat64()))
		members = append(members, i)
	}
	v, err := centred(m, members).topDirection(t.Context(), rng)
	if err != nil || math.Abs(v[0]) < 0.999 {
		t.Errorf("%v, %v", v, err)
	}
}

func TestRefuses(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		r    Records
		want string
	}{
		{Records{}, "needs records"},
		{Records{Labels: []int{0, 2}, Classes: 2}, "record 1 has the label 2"},
		{Records{Labels: []int{0, 1}, Classes: 2}, "needs the features of all 2"},
		{Records{Labels: []int{0, 1}, Classes: 2, Features: Matrix{2, []float32{1, 2, 3, nan}}}, "record 1 hold NaN"},
	} {
		if _, err := (SpectralSignatures{}).Suspect(t.Context(), &c.r, rand.New(rand.NewPCG(1, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.r, err, c.want)
		}
	}
	three := Records{Labels: []int{0, 1}, Classes: 2, Probabilities: Matrix{3, make([]float32, 6)}}
	if _, err := (ConfidentLearning{}).Suspect(t.Context(), &three, nil); err == nil || !strings.Contains(err.Error(), "2 classes") {
		t.Errorf("%v", err)
	}
}
