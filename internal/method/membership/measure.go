package membership

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"assay/internal/stat"
)

// Result is what an attack achieved on the records that no threshold was chosen on. Bounds are one-sided; each holds at the
// options' confidence for all attacks together.
type Result struct {
	Attack     string    `json:"attack"`
	Reference  string    `json:"reference"`
	Members    int       `json:"members"`
	NonMembers int       `json:"non_members"`
	AUROC      Rate      `json:"auroc"` // its bounds are approximate
	At         []AtFPR   `json:"at"`
	Balanced   Rate      `json:"balanced_accuracy"` // at the threshold that is best on the calibration
	Worst      *Subgroup `json:"worst_subgroup,omitempty"`
	Exposed    []Exposed `json:"exposed,omitempty"`
	Curve      []AtFPR   `json:"curve"` // at FPRs from 1/NonMembers to 0.5 for axes of logarithms; its bounds hold at all of them and to both sides at once
	Scores     []float64 `json:"-"`     // of all records
	order      []float64 // of all records, by their scores
	roc        *stat.ROC // of the test part
	parts      *halves
	population Population
}

// Rate is a rate with its bounds.
type Rate struct {
	Estimate float64 `json:"estimate"`
	Lower    float64 `json:"lower"`
	Upper    float64 `json:"upper"`
}

// AtFPR is the TPR at an FPR.
type AtFPR struct {
	FPR float64 `json:"fpr"`
	TPR Rate    `json:"tpr"`
}

// Subgroup is the class whose members are found most often, at the largest of the FPRs, by a threshold from the calibration that is the
// same for all classes. The bounds hold for all classes together.
type Subgroup struct {
	Class     int     `json:"class"`
	Members   int     `json:"members"`
	TPR       Rate    `json:"tpr"`
	Threshold float64 `json:"-"`
	FPR       float64 `json:"fpr"` // that the threshold has in the calibration
}

// Exposed is a member that an attack is surest of.
type Exposed struct {
	Record int     `json:"record"` // from 0, in the population
	Class  int     `json:"class"`
	Score  float64 `json:"score"`
	FPR    float64 `json:"fpr"`       // the part of the records that are not members with as high a score
	Upper  float64 `json:"fpr_upper"` // its bound, for a record that is looked at for another reason than its score
}

// measure tells how well scores tell members.
func measure(a Attack, scores []float64, p Population, parts *halves, o *Options) (*Result, error) {
	for i, s := range scores {
		if math.IsNaN(s) {
			return nil, fmt.Errorf("the score of record %d is no number", i+1)
		}
	}
	each := 1 - (1-o.Confidence)/float64(len(o.Attacks))
	r := &Result{Attack: a.Name, Reference: a.Reference, Scores: scores, order: ranks(scores, o.Seed), parts: parts, population: p}
	test, member := pick(r.order, parts.test), pick(p.Member, parts.test)
	for _, m := range member {
		if m {
			r.Members++
		} else {
			r.NonMembers++
		}
	}
	var err error
	if r.roc, err = stat.NewROC(test, member); err != nil {
		return nil, err
	}
	area, err := r.roc.AUROC(each)
	if err != nil {
		return nil, err
	}
	r.AUROC = Rate{area.Estimate, area.Lower, area.Upper}
	if r.At, err = r.at(o.FPRs, each); err != nil {
		return nil, err
	}
	levels := grid(r.NonMembers)
	if r.Curve, err = r.at(levels, 1-(1-each)/float64(2*len(levels))); err != nil {
		return nil, err
	}
	if err := r.balanced(each); err != nil {
		return nil, err
	}
	if err := r.worst(slices.Max(o.FPRs), each); err != nil {
		return nil, err
	}
	return r, r.expose(o.Exposed, each)
}

// ranks puts records in the order of their scores, and equal ones in an order drawn: an attacker can do so, and between records of
// which one is as likely as the other no FPR could be reached else.
func ranks(scores []float64, seed uint64) []float64 {
	order := rand.New(rand.NewPCG(seed, 0x71e5)).Perm(len(scores))
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	out := make([]float64, len(scores))
	for rank, i := range order {
		out[i] = float64(rank)
	}
	return out
}

func pick[T any](of []T, indices []int) []T {
	out := make([]T, len(indices))
	for k, i := range indices {
		out[k] = of[i]
	}
	return out
}

func (r *Result) at(fprs []float64, confidence float64) (out []AtFPR, err error) {
	for _, f := range fprs {
		rate, err := r.roc.TPRAtFPR(f, confidence)
		if err != nil {
			return nil, err
		}
		out = append(out, AtFPR{f, Rate(rate)})
	}
	return out, nil
}

// grid gives 1, 2 and 5 times each power of ten from 1/n to below 1.
func grid(n int) (levels []float64) {
	for power := -9; power < 0; power++ {
		for _, m := range []float64{1, 2, 5} {
			if f := m * math.Pow10(power); f*float64(n) >= 1 {
				levels = append(levels, f)
			}
		}
	}
	return levels
}

// balanced measures the mean of the TPR and 1-FPR at the threshold for which it is greatest in the calibration.
func (r *Result) balanced(confidence float64) error {
	roc, err := stat.NewROC(pick(r.order, r.parts.calibration), pick(r.population.Member, r.parts.calibration))
	if err != nil {
		return err
	}
	best := slices.MaxFunc(roc.Points(), func(a, b stat.Point) int { return cmp.Compare(a.TPR-a.FPR, b.TPR-b.FPR) })
	fpr, tpr, err := r.roc.At(best.Threshold, 1-(1-confidence)/2)
	if err != nil {
		return err
	}
	r.Balanced = Rate{(1 + tpr.Estimate - fpr.Estimate) / 2, (1 + tpr.Lower - fpr.Upper) / 2, (1 + tpr.Upper - fpr.Lower) / 2}
	return nil
}

// worst finds the class whose members are found most often.
func (r *Result) worst(fpr, confidence float64) error {
	threshold, real, err := r.threshold(fpr)
	if err != nil {
		return err
	}
	members, found := map[int]int{}, map[int]int{}
	for _, i := range r.parts.test {
		if class := int(r.population.Classes[i]); r.population.Member[i] {
			members[class]++
			if r.order[i] >= threshold {
				found[class]++
			}
		}
	}
	each := 1 - (1-confidence)/float64(len(members))
	for class, n := range members {
		lower, err := stat.BinomialLower(found[class], n, each)
		if err != nil {
			return err
		}
		upper, err := stat.BinomialUpper(found[class], n, each)
		if err != nil {
			return err
		}
		g := &Subgroup{Class: class, Members: n, TPR: Rate{float64(found[class]) / float64(n), lower, upper}, Threshold: threshold, FPR: real}
		if w := r.Worst; w == nil || g.TPR.Estimate > w.TPR.Estimate || g.TPR.Estimate == w.TPR.Estimate && class < w.Class {
			r.Worst = g
		}
	}
	return nil
}

// threshold is the lowest at which no more than a part of the calibration's records that are not members is above it.
func (r *Result) threshold(fpr float64) (threshold, real float64, err error) {
	roc, err := stat.NewROC(pick(r.order, r.parts.calibration), pick(r.population.Member, r.parts.calibration))
	if err != nil {
		return 0, 0, err
	}
	threshold = math.Inf(1)
	for _, p := range roc.Points() {
		if p.FPR <= fpr {
			threshold, real = p.Threshold, p.FPR
		}
	}
	return threshold, real, nil
}

// expose names the members with the highest scores.
func (r *Result) expose(most int, confidence float64) error {
	var members, others []int
	for _, i := range r.parts.test {
		if r.population.Member[i] {
			members = append(members, i)
		} else {
			others = append(others, i)
		}
	}
	slices.SortStableFunc(members, func(a, b int) int { return cmp.Compare(r.order[b], r.order[a]) })
	for _, i := range members[:min(max(most, 0), len(members))] {
		above := 0
		for _, j := range others {
			if r.order[j] >= r.order[i] {
				above++
			}
		}
		upper, err := stat.BinomialUpper(above, len(others), confidence)
		if err != nil {
			return err
		}
		r.Exposed = append(r.Exposed, Exposed{i, int(r.population.Classes[i]), r.Scores[i], float64(above) / float64(len(others)), upper})
	}
	return nil
}

// Strongest gives the result with the greatest TPR at an FPR of all attacks' options, by its lower bound and then its estimate.
func Strongest(results []Result, fpr float64) (*Result, Rate) {
	var best *Result
	var rate Rate
	for i := range results {
		for _, at := range results[i].At {
			better := best == nil || at.TPR.Estimate > rate.Estimate || at.TPR.Estimate == rate.Estimate && results[i].AUROC.Estimate > best.AUROC.Estimate
			if at.FPR == fpr && better {
				best, rate = &results[i], at.TPR
			}
		}
	}
	return best, rate
}
