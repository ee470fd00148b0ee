package battery

import (
	"context"
	"hash/fnv"
	"math"
	"slices"
	"strings"

	"assay/internal/method/evasion"
	"assay/internal/method/evasion/linear"
	"assay/internal/method/substitution"
	"assay/internal/model"
)

// additive is a classifier of two classes whose scores are sums over words, of a number for each that has nothing to do with its
// meaning. How few words suffice to mislead it is known exactly: those that gain most.
type additive struct{}

// Describe tells of two classes.
func (additive) Describe() model.Description {
	return model.Description{Classes: []string{"a", "b"}, Output: model.Logits}
}

// Predict gives each text's sums.
func (additive) Predict(ctx context.Context, texts []string, scores []float64) error {
	for i, text := range texts {
		sum := 0.0
		for _, w := range substitution.Split(text).Words {
			sum += weight(w)
		}
		scores[2*i], scores[2*i+1] = -sum, sum
	}
	return ctx.Err()
}

// weight is a word's number, from -1 to 1, in any case the same.
func weight(word string) float64 {
	h := fnv.New64a()
	h.Write([]byte(strings.ToLower(word))) // never fails
	v := h.Sum64()
	v ^= v >> 33 // so that words that differ in the last letter alone are apart
	v *= 0xff51afd7ed558ccd
	v ^= v >> 33
	return float64(v)/float64(math.MaxUint64)*2 - 1
}

// fewest gives how few words of a text suffice to mislead the additive model; ok is false where none do.
func fewest(s *substitution.Space, words []string, label int) (k int, ok bool) {
	side := float64(2*label - 1)
	lead := 0.0
	gains := make([]float64, len(words))
	for i, w := range words {
		own := side * weight(w)
		lead += own
		for _, c := range s.Candidates(i, w) {
			gains[i] = max(gains[i], own-side*weight(c))
		}
	}
	slices.SortFunc(gains, func(a, b float64) int {
		switch {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
	for i, g := range gains {
		if lead -= g; lead < 0 {
			return i + 1, true
		}
	}
	return 0, false
}

// factor is by what factor a share of words must exceed the exact limit before a search is expected to mislead the additive model.
const factor = 1.5

// known attacks the additive model by what may stand for words, misspelt by one character at most: for these candidates the exact answer
// is known. It gives nil where no text can be broken.
func (k *controller) known(ctx context.Context, inputs []substitution.Input) (*evasion.Known, error) {
	budget := k.Attacker.Budget
	budget.Edits = min(budget.Edits, 1)
	on := &controller{Battery: k.Battery, target: substitution.Target{Model: additive{}, Confirm: additive{}}, options: k.options}
	var able []substitution.Input
	var limits []float64
	for _, in := range inputs {
		s, err := substitution.NewSpace(budget, in.Text)
		if err != nil {
			return nil, err
		}
		words, scores := substitution.Split(in.Text).Words, make([]float64, 2)
		if err := on.target.Model.Predict(ctx, []string{in.Text}, scores); err != nil {
			return nil, err
		}
		if in.Label = 0; scores[1] > scores[0] {
			in.Label = 1
		}
		if few, ok := fewest(s, words, in.Label); ok {
			able, limits = append(able, in), append(limits, float64(few)/float64(len(words)))
		}
	}
	half, ok := linear.Median(limits)
	if !ok {
		return nil, nil
	}
	out := &evasion.Known{Eps: half, Factor: factor, Most: min(2*slices.Max(limits), 1)}
	for _, at := range []struct {
		share   float64
		answers *[]evasion.Answer
	}{{half, &out.Exact}, {min(half*factor, 1), &out.Beyond}, {out.Most, &out.All}} {
		budget.Words = at.share
		p, err := on.point(ctx, budget, k.strongest(), able)
		if err != nil {
			return nil, err
		}
		for i, in := range able {
			_, broken := slices.BinarySearch(p.Broken, in.Index)
			*at.answers = append(*at.answers, evasion.Answer{Index: in.Index, Limit: limits[i], Broken: broken})
		}
	}
	return out, nil
}
