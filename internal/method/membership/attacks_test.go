package membership

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"assay/internal/model"
	"assay/internal/train"
)

// The logit of a probability is the same from logits and from probabilities, and is exact where a probability rounds to 1.
func TestConfidence(t *testing.T) {
	logits := []float64{1, 3, -2}
	sum := math.Exp(1) + math.Exp(3) + math.Exp(-2)
	var p []float64
	for _, z := range logits {
		p = append(p, math.Exp(z)/sum)
	}
	for y := range logits {
		a, top, hit, err := confidence(logits, y, model.Logits)
		if err != nil {
			t.Fatal(err)
		}
		b, _, _, err := confidence(p, y, model.Probabilities)
		want := math.Log(p[y] / (1 - p[y]))
		if err != nil || math.Abs(a-want) > 1e-9 || math.Abs(b-want) > 1e-9 || hit != (y == 1) || math.Abs(top-p[1]) > 1e-9 {
			t.Errorf("class %d: %v by logits, %v by probabilities, in closed form %v; the largest is %v (%v)", y, a, b, want, top, err)
		}
	}
	if a, _, _, _ := confidence([]float64{100, -100}, 0, model.Logits); a != 200 {
		t.Errorf("two logits that differ by 200 give %v", a)
	}
	if _, _, _, err := confidence([]float64{0, math.NaN()}, 0, model.Logits); err == nil {
		t.Error("a score that is no number was accepted")
	}
}

// known is a view of which each record's logit is normal: around its own difficulty, and more by a gap for what a model was trained on.
func known(n, shadows int, gap float64) (*View, []bool) {
	rng := rand.New(rand.NewPCG(1, 1))
	v := &View{Data: &train.Data{X: make([]float32, n), Shape: []int{1}, Classes: make([]int32, n)}}
	difficulty := make([]float64, n)
	for i := range difficulty {
		difficulty[i] = 3 * rng.NormFloat64()
	}
	draw := func() Reference {
		r := Reference{Answers: &Answers{Queries: 1, Hit: make([]bool, n)}}
		for i := range n {
			in := rng.IntN(2) == 0
			x := difficulty[i] + rng.NormFloat64()
			if in {
				x += gap
			}
			r.In, r.Logit = append(r.In, in), append(r.Logit, x)
			r.Top = append(r.Top, 1/(1+math.Exp(-math.Abs(x))))
		}
		return r
	}
	target := draw()
	v.Target = target.Answers
	for range shadows / 2 {
		a, b := draw(), draw()
		for i := range n { // a pair: one of the two was trained on each record
			if a.In[i] == b.In[i] {
				b.In[i] = !a.In[i]
				shift := gap
				if a.In[i] {
					shift = -gap
				}
				b.Logit[i] += shift
			}
		}
		v.References = append(v.References, a, b)
	}
	return v, target.In
}

// area is the AUROC, by counting.
func area(scores []float64, member []bool) float64 {
	wins, pairs := 0.0, 0.0
	for i, a := range scores {
		for j, b := range scores {
			if member[i] && !member[j] {
				pairs++
				switch {
				case a > b:
					wins++
				case a == b:
					wins += 0.5
				}
			}
		}
	}
	return wins / pairs
}

// Where logits are normal with a known gap, the likelihood ratio's AUROC is Φ(gap/√2), as that of the offline attack is; the loss alone
// is told by difficulty, which is of deviation 3: Φ(gap/√20).
func TestLikelihoodRatioClosedForm(t *testing.T) {
	const gap = 1.5
	v, member := known(1500, 128, gap)
	phi := func(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
	for _, c := range []struct {
		name  string
		score func(context.Context, *View) ([]float64, error)
		want  float64
	}{{"lira", lira, phi(gap / math.Sqrt2)}, {"lira-offline", liraOffline, phi(gap / math.Sqrt2)}, {"loss", loss, phi(gap / math.Sqrt(20))}} {
		scores, err := c.score(context.Background(), v)
		if err != nil {
			t.Fatal(err)
		}
		if got := area(scores, member); math.Abs(got-c.want) > 0.03 { // two deviations are 0.026
			t.Errorf("%s: an AUROC of %.3f, in closed form %.3f", c.name, got, c.want)
		}
	}
	for name, score := range map[string]func(context.Context, *View) ([]float64, error){"calibrated": calibrated, "rmia": rmia, "rmia-offline": rmiaOffline} {
		scores, err := score(context.Background(), v)
		if err != nil {
			t.Fatal(err)
		}
		plain, _ := loss(context.Background(), v)
		if got := area(scores, member); got < area(plain, member)+0.05 {
			t.Errorf("%s: an AUROC of %.3f where the loss has %.3f", name, got, area(plain, member))
		}
	}
}

// RMIA's paper counts the z whose ratio is below by gamma: the ratio orders records as that count does, ties apart.
func TestRatios(t *testing.T) {
	v, _ := known(50, 4, 1)
	scores, err := rmia(context.Background(), v)
	if err != nil {
		t.Fatal(err)
	}
	p := func(logit float64) float64 { return 1 / (1 + math.Exp(-logit)) }
	ratios, counts := make([]float64, 50), make([]int, 50)
	for i := range ratios {
		sum := 0.0
		for _, r := range v.References {
			sum += p(r.Logit[i]) / 4
		}
		ratios[i] = p(v.Target.Logit[i]) / sum
		if math.Abs(scores[i]-math.Log(ratios[i])) > 1e-9 {
			t.Errorf("record %d: %v, by definition %v", i, scores[i], math.Log(ratios[i]))
		}
	}
	for i, a := range ratios {
		for _, z := range ratios {
			if a >= 1.2*z {
				counts[i]++
			}
		}
	}
	for i := range counts {
		for j := range counts {
			if scores[i] > scores[j] && counts[i] < counts[j] {
				t.Errorf("records %d and %d: scores %v and %v, counts %d and %d", i, j, scores[i], scores[j], counts[i], counts[j])
			}
		}
	}
}

func TestShift(t *testing.T) {
	from, to := []float32{1, 2, 3, 4, 5, 6}, make([]float32, 6)
	for k, want := range [][]float32{{2, 3, 3, 5, 6, 6}, {1, 1, 2, 4, 4, 5}, {4, 5, 6, 4, 5, 6}, {1, 2, 3, 1, 2, 3}} {
		if shift(from, to, []int{1, 2, 3}, k); !slices.Equal(to, want) {
			t.Errorf("direction %d gives %v, expected %v", k, to, want)
		}
	}
}
