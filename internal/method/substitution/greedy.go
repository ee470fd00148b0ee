package substitution

import (
	"cmp"
	"context"
	"math"
	"slices"

	"assay"
	"assay/internal/method"
)

// TextFooler replaces words one after the other, the most important first, each by what takes most from the label (Jin et al. 2020,
// arXiv:1907.11932, Algorithm 1). A word's importance is what the label loses when it is left out (equation 2).
//
// Departures: what a word may become is the attacker's budget, in place of thresholds on a sentence encoder and on parts of speech; and
// what is lost is counted by the lead of the best other class, which is of use for logits as well.
type TextFooler struct{}

// Describe tells what the method is.
func (TextFooler) Describe() method.Description {
	return method.Description{Name: "textfooler", Access: assay.Scores, Iterative: true, Reference: "Jin et al. 2020 (arXiv:1907.11932), Algorithm 1"}
}

// Perturb searches until it has found an adversarial example or replaced as many words as it may.
func (TextFooler) Perturb(ctx context.Context, u *Unit) error {
	order, err := byImportance(ctx, u)
	if err != nil {
		return err
	}
	now := u.Words()
	leads, err := u.Leads(ctx, [][]string{now})
	if err != nil {
		return err
	}
	g := &greedy{unit: u, now: now, lead: leads[0]}
	for _, i := range order {
		if err := g.replace(ctx, i); err != nil || u.Found() {
			return err
		}
	}
	return nil
}

// greedy is a text on its way.
type greedy struct {
	unit *Unit
	now  []string
	lead float64
}

// replace gives place i the word with the greatest lead, again and again while misspelling it further gains, if it may change.
func (g *greedy) replace(ctx context.Context, i int) error {
	s := g.unit.Space()
	if g.now[i] == s.clean.Words[i] && s.changed(g.now) >= s.Most() {
		return nil
	}
	for range 1 + s.budget.Edits {
		options := variants(s, g.now, i)
		leads, err := g.unit.Leads(ctx, options)
		if err != nil || g.unit.Found() {
			return err
		}
		best := argmax(leads)
		if best < 0 || !(leads[best] > g.lead) {
			return nil
		}
		g.now, g.lead = options[best], leads[best]
	}
	return nil
}

// variants are the texts with each candidate at place i.
func variants(s *Space, words []string, i int) (out [][]string) {
	for _, w := range s.Candidates(i, words[i]) {
		next := slices.Clone(words)
		next[i] = w
		out = append(out, next)
	}
	return out
}

func argmax(list []float64) int {
	best := -1
	for i, v := range list {
		if best < 0 || v > list[best] {
			best = i
		}
	}
	return best
}

// changeable are the places for whose words there are candidates; none where no word may change.
func changeable(u *Unit) (out []int) {
	s := u.Space()
	for i, w := range s.clean.Words {
		if s.Most() > 0 && len(s.Candidates(i, w)) > 0 {
			out = append(out, i)
		}
	}
	return out
}

// byImportance gives the places that can change, by what the label loses without their words.
func byImportance(ctx context.Context, u *Unit) ([]int, error) {
	places := changeable(u)
	var without [][]string
	for _, i := range places {
		words := u.Words()
		words[i] = ""
		without = append(without, words)
	}
	leads, err := u.Leads(ctx, without)
	if err != nil {
		return nil, err
	}
	return sorted(places, leads), nil
}

// sorted gives places by a value each, the greatest first.
func sorted(places []int, values []float64) []int {
	order := make([]int, len(places))
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(values[b], values[a]) })
	for k, at := range order {
		order[k] = places[at]
	}
	return order
}

// PWWS replaces words in the order of what each gains by its best replacement, weighted by its saliency (Ren et al. 2019, ACL P19-1103,
// Algorithm 1, equations 6 to 9).
//
// Departures: as TextFooler's, and a word's saliency is what the label loses when it is left out, where the paper puts the unknown
// token in its place.
type PWWS struct{}

// Describe tells what the method is.
func (PWWS) Describe() method.Description {
	return method.Description{Name: "pwws", Access: assay.Scores, Iterative: true, Reference: "Ren et al. 2019 (ACL P19-1103), Algorithm 1"}
}

// Perturb searches until it has found an adversarial example or replaced as many words as it may.
func (PWWS) Perturb(ctx context.Context, u *Unit) error {
	places := changeable(u)
	texts := [][]string{u.Words()}
	for _, i := range places {
		words := u.Words()
		words[i] = ""
		texts = append(texts, words)
	}
	leads, err := u.Leads(ctx, texts)
	if err != nil {
		return err
	}
	clean, saliency := leads[0], leads[1:]
	top, sum := 0.0, 0.0
	for _, l := range saliency {
		top = max(top, l-clean)
	}
	weights, chosen := make([]float64, len(places)), make([]string, len(places))
	for k, l := range saliency {
		weights[k] = math.Exp(l - clean - top)
		sum += weights[k]
	}
	for k, i := range places {
		options := variants(u.Space(), u.Words(), i)
		leads, err := u.Leads(ctx, options)
		if err != nil || u.Found() {
			return err
		}
		best := argmax(leads)
		chosen[k] = options[best][i]
		weights[k] *= (leads[best] - clean) / sum
	}
	now := u.Words()
	at := map[int]int{}
	for k, i := range places {
		at[i] = k
	}
	for _, i := range sorted(places, weights)[:min(len(places), u.Space().Most())] {
		now[i] = chosen[at[i]]
		if _, err := u.Leads(ctx, [][]string{slices.Clone(now)}); err != nil || u.Found() {
			return err
		}
	}
	return nil
}
