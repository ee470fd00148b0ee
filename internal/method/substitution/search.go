package substitution

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"assay"
	"assay/internal/method"
)

// Noise draws texts of the space at random and asks about them, Draws of them unless one is adversarial before. Each has as many
// words replaced as may be. It learns nothing from the answers: it is what every other method must be better than, and all that
// labels alone allow for here.
type Noise struct{ Draws int }

// Describe tells what the method is.
func (m Noise) Describe() method.Description {
	return method.Description{Name: "word-noise", Access: assay.Labels, Undirected: true,
		Settings:  []method.Setting{{Name: "draws", Value: float64(m.Draws)}},
		Reference: "uniform draws; Carlini et al. 2019 (arXiv:1902.06705), section 4.3"}
}

// together is how many texts are asked about at once where more are known beforehand.
const together = 32

// Perturb draws until it has found an adversarial example or made all draws.
func (m Noise) Perturb(ctx context.Context, u *Unit) error {
	places := changeable(u)
	if len(places) == 0 {
		return nil
	}
	for left := m.Draws; left > 0 && !u.Found(); left -= together {
		texts := make([][]string, min(left, together))
		for k := range texts {
			texts[k] = drawn(u, places)
		}
		if _, err := u.Labels(ctx, texts); err != nil {
			return err
		}
	}
	return nil
}

// drawn replaces as many words as may change, by candidates drawn at random, misspelt as far as edits go.
func drawn(u *Unit, places []int) []string {
	words, s := u.Words(), u.Space()
	for _, k := range u.Rand().Perm(len(places))[:min(s.Most(), len(places))] {
		i := places[k]
		for range max(s.budget.Edits, 1) {
			if c := s.Candidates(i, words[i]); len(c) > 0 {
				words[i] = c[u.Rand().IntN(len(c))]
			}
		}
	}
	return words
}

// Beam keeps the Width texts with the greatest leads, and replaces one more word in each, until as many are replaced as may be (the
// search of Ebrahimi et al. 2018, arXiv:1712.06751, section 3, over all replacements). With a wide beam it is the closest to
// trying all that there is.
type Beam struct {
	Width   int // at least 1
	Queries int // of the search, at least 1
}

// Describe tells what the method is.
func (m Beam) Describe() method.Description {
	return method.Description{Name: "beam", Access: assay.Scores, Iterative: true,
		Settings:  []method.Setting{{Name: "width", Value: float64(m.Width)}, {Name: "queries", Value: float64(m.Queries)}},
		Reference: "beam search over replacements; Ebrahimi et al. 2018 (arXiv:1712.06751), section 3"}
}

// Perturb searches until it has found an adversarial example, replaced as many words as it may, or made its queries.
func (m Beam) Perturb(ctx context.Context, u *Unit) error {
	places, s := changeable(u), u.Space()
	kept, left := [][]string{u.Words()}, m.Queries
	for depth := 0; depth < s.Most()*max(s.budget.Edits, 1) && left > 0; depth++ {
		var next [][]string
		seen := stringSet{}
		for _, words := range kept {
			full := s.changed(words) >= s.Most()
			for _, i := range places {
				if full && words[i] == s.clean.Words[i] {
					continue
				}
				for _, v := range variants(s, words, i) {
					if key := strings.Join(v, "\x00"); !seen[key] {
						seen[key] = true
						next = append(next, v)
					}
				}
			}
		}
		next = next[:min(len(next), left)]
		if len(next) == 0 {
			return nil
		}
		left -= len(next)
		var leads []float64
		for part := range slices.Chunk(next, 4*together) {
			l, err := u.Leads(ctx, part)
			if err != nil || u.Found() {
				return err
			}
			leads = append(leads, l...)
		}
		kept = best(next, leads, m.Width)
	}
	return nil
}

// best gives the texts with the n greatest leads.
func best(texts [][]string, leads []float64, n int) [][]string {
	order := make([]int, len(texts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(leads[b], leads[a]) })
	out := make([][]string, 0, n)
	for _, i := range order[:min(n, len(order))] {
		out = append(out, texts[i])
	}
	return out
}

// Genetic breeds texts (Alzantot et al. 2018, arXiv:1804.07998, Algorithm 1): each child takes each word from one of two parents, drawn
// by their leads, and has a word replaced by the best candidate for its place.
//
// Departures: candidates are the attacker's budget, in place of a language model's choice; a child that changes more words than it may
// has some of them put back; and parents are drawn by the exponential of their leads.
type Genetic struct {
	Population  int // at least 2
	Generations int // at least 1
	Queries     int // of the search, at least 1
}

// Describe tells what the method is.
func (m Genetic) Describe() method.Description {
	return method.Description{Name: "genetic", Access: assay.Scores, Iterative: true,
		Settings: []method.Setting{{Name: "population", Value: float64(m.Population)}, {Name: "generations", Value: float64(m.Generations)},
			{Name: "queries", Value: float64(m.Queries)}},
		Reference: "Alzantot et al. 2018 (arXiv:1804.07998), Algorithm 1"}
}

// Perturb searches until it has found an adversarial example, or made its generations or queries.
func (m Genetic) Perturb(ctx context.Context, u *Unit) error {
	g := &breed{unit: u, places: changeable(u), left: m.Queries}
	if len(g.places) == 0 {
		return nil
	}
	for range m.Population {
		if err := g.add(ctx, u.Words()); err != nil || u.Found() {
			return err
		}
	}
	for range m.Generations {
		if g.left <= 0 {
			return nil
		}
		parents, leads := g.texts, g.leads
		elite := argmax(leads)
		g.texts, g.leads = [][]string{parents[elite]}, []float64{leads[elite]}
		for range m.Population - 1 {
			child := g.cross(parents[pick(u.Rand(), leads)], parents[pick(u.Rand(), leads)])
			if err := g.add(ctx, child); err != nil || u.Found() {
				return err
			}
		}
	}
	return nil
}

// breed is a population.
type breed struct {
	unit   *Unit
	places []int
	left   int // queries
	texts  [][]string
	leads  []float64
}

// add replaces a word of a text by the best candidate for its place, and adds the text.
func (g *breed) add(ctx context.Context, words []string) error {
	s, r := g.unit.Space(), g.unit.Rand()
	i := g.places[r.IntN(len(g.places))]
	if words[i] == s.clean.Words[i] && s.changed(words) >= s.Most() {
		g.putBack(words, 1)
	}
	options := append(variants(s, words, i), words)
	g.left -= len(options)
	leads, err := g.unit.Leads(ctx, options)
	if err != nil {
		return err
	}
	k := argmax(leads)
	g.texts, g.leads = append(g.texts, options[k]), append(g.leads, leads[k])
	return nil
}

// cross takes each word from one of two texts.
func (g *breed) cross(a, b []string) []string {
	out := slices.Clone(a)
	for i := range out {
		if g.unit.Rand().IntN(2) == 1 {
			out[i] = b[i]
		}
	}
	s := g.unit.Space()
	g.putBack(out, s.changed(out)-s.Most())
	return out
}

// putBack gives n changed places, drawn at random, their own words.
func (g *breed) putBack(words []string, n int) {
	clean := g.unit.Space().clean.Words
	var changed []int
	for i, w := range words {
		if w != clean[i] {
			changed = append(changed, i)
		}
	}
	order := g.unit.Rand().Perm(len(changed))
	for _, k := range order[:min(max(n, 0), len(order))] {
		words[changed[k]] = clean[changed[k]]
	}
}

// pick draws a place by the exponential of its value.
func pick(r *rand.Rand, values []float64) int {
	top, sum := values[argmax(values)], 0.0
	for _, v := range values {
		sum += math.Exp(v - top)
	}
	at := r.Float64() * sum
	for i, v := range values {
		if at -= math.Exp(v - top); at < 0 {
			return i
		}
	}
	return argmax(values)
}
