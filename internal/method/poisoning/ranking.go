package poisoning

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Scored is what a detector gave all records.
type Scored struct {
	Detector  string
	Suspicion []float64
}

// Calibration says by what suspicions become a ranking with a stated error.
type Calibration struct {
	// Clean are records known to be clean, which detectors saw among the others and as those. At least 20, or none.
	Clean []int
	FPR   float64 // probability for a clean record to be suspected
	Alpha float64 // probability for clean data to be said to have planted records
}

// Suspect is a record's place in a ranking.
type Suspect struct {
	Record    int
	P         float64   // of the record by all detectors: uniform or larger for a clean one, where there is a clean set
	Suspected bool      // P is at most the false positive rate
	By        []float64 // the same by each detector
	strength  float64
	rest      float64
}

// Ranking is records from the most to the least suspicious, the clean ones aside.
type Ranking struct {
	Suspects   []Suspect
	Calibrated bool      // by a clean set; else P is a record's rank over the number of records, and nothing is decided
	P          float64   // of the test that the records are like the clean ones; 1 where not calibrated
	Planted    bool      // P is at most Alpha
	By         []float64 // the same by each detector alone; P is the least of them times their number
}

// shares are those of the records that may have been planted, about which a ranking asks.
var shares = []float64{0.005, 0.01, 0.02, 0.05, 0.1}

// Rank joins detectors' suspicions. One half of the clean set, drawn at random, gives each record a conformal p-value
// by each detector (Vovk et al. 2005; Bates et al. 2023, arXiv:2104.08279, section 2); the sum of their inverses, in
// which the smallest counts most (Wilson 2019, harmonic mean p), and more if it is far beyond that half, is compared with that of the other half. So P is exact whatever
// detectors are and however they depend on each other, if records and clean ones differ in nothing but what was planted.
//
// Whether anything was planted is a second question, asked of each detector. The most suspicious share of the records and the clean
// ones together is taken: of clean data as many are of the clean set as the hypergeometric distribution says. That is
// asked of several shares; these and the detectors each have their part of Alpha (Bonferroni).
func Rank(scored []Scored, c Calibration, rng *rand.Rand) (*Ranking, error) {
	if err := c.check(scored); err != nil {
		return nil, err
	}
	n := len(scored[0].Suspicion)
	isClean := make([]bool, n)
	for _, i := range c.Clean {
		isClean[i] = true
	}
	var records []int
	for i := range n {
		if !isClean[i] {
			records = append(records, i)
		}
	}
	if len(records) == 0 {
		return nil, errors.New("all records are in the clean set: there is none to rank")
	}
	out := &Ranking{Calibrated: len(c.Clean) > 0, P: 1}
	first, second := records, []int(nil)
	if out.Calibrated {
		order := slices.Clone(c.Clean)
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		first, second = order[:len(order)/2], order[len(order)/2:]
	}
	judged := join(scored, slices.Concat(records, second), first, out.Calibrated)
	within := join(scored, records, records, false)
	out.Suspects = judged[:len(records)]
	for k := range out.Suspects {
		out.Suspects[k].rest = within[k].strength
	}
	others := judged[len(records):]
	if !out.Calibrated {
		others = out.Suspects
	}
	strengths := make([]float64, len(others))
	for k, s := range others {
		strengths[k] = s.strength
	}
	slices.Sort(strengths)
	for k := range out.Suspects {
		s := &out.Suspects[k]
		s.P = conformal(strengths, s.strength, out.Calibrated)
		s.Suspected = s.P <= c.FPR
	}
	if out.Calibrated {
		out.decide(scored, records, c)
	}
	slices.SortStableFunc(out.Suspects, func(a, b Suspect) int {
		return cmp.Or(cmp.Compare(b.strength, a.strength), cmp.Compare(b.rest, a.rest))
	})
	return out, nil
}

// decide asks whether anything was planted.
func (r *Ranking) decide(scored []Scored, records []int, c Calibration) {
	for _, s := range scored {
		p := 1.0
		for _, share := range shares {
			p = min(p, float64(len(shares))*excess(pick(s.Suspicion, records), pick(s.Suspicion, c.Clean), share))
		}
		r.By = append(r.By, p)
	}
	r.P = min(1, float64(len(r.By))*slices.Min(r.By))
	r.Planted = r.P <= c.Alpha
}

func pick(values []float64, indices []int) []float64 {
	out := make([]float64, len(indices))
	for k, i := range indices {
		out[k] = values[i]
	}
	return out
}

func (c Calibration) check(scored []Scored) error {
	if len(scored) == 0 || len(scored[0].Suspicion) == 0 {
		return errors.New("there are no suspicions to rank by")
	}
	n := len(scored[0].Suspicion)
	for _, s := range scored {
		if len(s.Suspicion) != n {
			return fmt.Errorf("%s gave %d suspicions, and %s gave %d", s.Detector, len(s.Suspicion), scored[0].Detector, n)
		}
		if slices.ContainsFunc(s.Suspicion, math.IsNaN) {
			return fmt.Errorf("%s gave a suspicion that is no number", s.Detector)
		}
	}
	for _, v := range []float64{c.FPR, c.Alpha} {
		if !(v > 0 && v < 1) {
			return fmt.Errorf("a probability of error is between 0 and 1, not %g", v)
		}
	}
	if len(c.Clean) > 0 && len(c.Clean) < 20 {
		return fmt.Errorf("a clean set of %d records calibrates nothing: give at least 20, and for a false positive rate of %g at least %d", len(c.Clean), c.FPR, c.Needed())
	}
	for _, i := range c.Clean {
		if i < 0 || i >= n {
			return fmt.Errorf("the clean set names the record %d, and there are the records 0 to %d", i, n-1)
		}
	}
	return nil
}

// Needed is how many clean records are needed for any record to be suspected.
func (c Calibration) Needed() int { return 2 * int(math.Ceil(1/c.FPR-1)) }

// join gives some records their p-values by each detector against others, and the strength of all together.
func join(scored []Scored, records, against []int, conformed bool) []Suspect {
	out := make([]Suspect, len(records))
	by := make([]float64, len(records)*len(scored))
	for d, s := range scored {
		reference := pick(s.Suspicion, against)
		slices.Sort(reference)
		for k, i := range records {
			p := conformal(reference, s.Suspicion[i], conformed)
			by[k*len(scored)+d] = p
			out[k].strength += beyond(reference, s.Suspicion[i]) / p
		}
	}
	for k, i := range records {
		out[k].Record, out[k].By = i, by[k*len(scored):(k+1)*len(scored)]
	}
	return out
}

// farthest bounds how much more than the most suspicious of a reference a record counts.
const farthest = 1000

// beyond says how far a value is beyond a sorted reference, against the reference's own reach from its middle to its end: 1
// up to there. What is far beyond all clean records by one detector is to outweigh what is just beyond them by several.
func beyond(reference []float64, v float64) float64 {
	end := reference[len(reference)-1]
	if v <= end {
		return 1
	}
	return 1 + min(ratio(v-end, end-reference[len(reference)/2]), farthest)
}

// conformal gives the share of a sorted reference that is at least a value, with the value counted as one more of it
// where it is not of it already.
func conformal(reference []float64, v float64, more bool) float64 {
	at, _ := slices.BinarySearch(reference, v)
	n, above := len(reference), len(reference)-at
	if more {
		n, above = n+1, above+1
	}
	return float64(max(above, 1)) / float64(n)
}

// excess gives the probability that so few of the clean are among the most suspicious share, or fewer, if all are alike.
func excess(records, clean []float64, share float64) float64 {
	all := slices.Concat(records, clean)
	slices.Sort(all)
	cut := all[max(len(all)-int(math.Ceil(share*float64(len(all)))), 0)]
	from, _ := slices.BinarySearch(all, cut)
	top, of := len(all)-from, 0
	for _, v := range clean {
		if v >= cut {
			of++
		}
	}
	p := 0.0
	for k := range of + 1 {
		p += math.Exp(choose(len(clean), k) + choose(len(records), top-k) - choose(len(all), top))
	}
	return min(p, 1)
}

// choose is the logarithm of the binomial coefficient, -∞ for none.
func choose(n, k int) float64 {
	if k < 0 || k > n {
		return math.Inf(-1)
	}
	lg := func(v int) float64 { l, _ := math.Lgamma(float64(v) + 1); return l }
	return lg(n) - lg(k) - lg(n-k)
}
