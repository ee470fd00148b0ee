package poisoning

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/internal/assess"
	"assay/internal/certificate"
	"assay/internal/criteria"
	"assay/internal/dataset"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/report"
	"assay/internal/solution/dpa"
	"assay/internal/system"
	"assay/onnx"
)

const certifiedAccuracy = "certified-accuracy"

// vote is the test of a model in which networks vote that were each trained on a part of the records.
type vote struct {
	division     dpa.Division
	budget       int // records that the attacker poisons
	data         *dataset.Dataset
	certificates []certificate.Certificate
	votes        [][]int // for each class, of each record
}

// newVote has a model vote on the goal's data.
func (t *Tester) newVote(ctx context.Context, test *assess.Test, data *system.Data) (*vote, error) {
	at := slices.IndexFunc(t.system.Models, func(m system.Model) bool { return m.Name == test.Model })
	if at < 0 || test.Attacker.Poison == nil {
		return nil, fmt.Errorf("the description has no model %q, or nothing is poisoned", test.Model)
	}
	of := &t.system.Models[at]
	if of.File == "" {
		return nil, t.system.Mistake(of.At+".endpoint", "the model is behind an endpoint, which does not tell the votes of its networks: name its file")
	}
	m, err := onnx.Open(t.system.Path(of.File))
	if err != nil {
		return nil, t.system.Mistake(of.At+".file", "%v", err)
	}
	v := &vote{}
	if v.division, err = dpa.ReadDivision(m); err != nil {
		return nil, t.system.Mistake(of.At+".file", "%s: %v", of.File, err)
	}
	if v.division.Spread != 1 {
		return nil, t.system.Mistake(of.At+".file", "%s: each record has %d votes, and what they are cannot be told from their sum: make it without --spread", of.File, v.division.Spread)
	}
	v.budget = int(math.Ceil(test.Attacker.Poison.Share * float64(v.division.Records)))
	schema, err := target.ReadSchema(m)
	if err != nil {
		return nil, t.system.Mistake(of.At+".file", "%s: %v", of.File, err)
	}
	if v.data, err = t.load(ctx, data, schema); err != nil {
		return nil, err
	}
	if err := v.count(ctx, m, of.Override(), t.library); err != nil {
		return nil, t.system.Mistake(of.At+".file", "%s: %v", of.File, err)
	}
	return v, nil
}

// count counts the votes on all records, and certifies what they decide.
func (v *vote) count(ctx context.Context, m *onnx.Model, override model.Override, library string) error {
	c, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: ort.Options{Library: library}, Override: override})
	if err != nil {
		return err
	}
	defer c.Close()
	rows, err := target.NewRows(v.data.Schema, c.Describe())
	if err != nil {
		return err
	}
	var x []float64
	labels := make([]int, v.data.Len())
	for i := range labels {
		for _, value := range rows.Row(v.data.Record(i)) {
			x = append(x, float64(value))
		}
		labels[i] = rows.Class(int(v.data.Y[i]))
	}
	if v.certificates, err = dpa.Certify(ctx, c, x, labels); err != nil {
		return err
	}
	classes := len(c.Describe().Classes)
	scores := make([]float64, len(labels)*classes)
	if err := c.Predict(ctx, x, scores); err != nil {
		return err
	}
	for row := range slices.Chunk(scores, classes) {
		votes, all := make([]int, classes), 0
		for k, score := range row {
			votes[k] = int(score)
			all += votes[k]
		}
		if all != v.division.Partitions {
			return fmt.Errorf("%d networks vote, and its metadata say %d", all, v.division.Partitions)
		}
		v.votes = append(v.votes, votes)
	}
	return nil
}

func (v *vote) units() int { return len(v.votes) }

func (v *vote) outline(*assess.Test) *assess.Outline {
	o := &assess.Outline{Records: v.units(), Methods: []report.Method{{Name: "certificate of the vote", Reference: dpa.Method, Settings: []report.Fact{
		{Name: "networks", Value: fmt.Sprint(v.division.Partitions)}, {Name: "training records", Value: fmt.Sprint(v.division.Records)},
		{Name: "poisoned records", Value: fmt.Sprint(v.budget)},
	}}}}
	if most := v.division.Partitions / 2; v.budget > most {
		o.Remarks = append(o.Remarks, fmt.Sprintf("%d votes certify against at most %d poisoned records, and the attacker has %d: no answer can be certified", v.division.Partitions, most, v.budget))
	}
	return o
}

// certified is what is recorded of a record.
type certified struct {
	Record int64 `json:"record"` // its number in the goal's data
	Right  bool  `json:"right"`
	Budget int   `json:"budget"` // poisoned records that its answer is certified against
}

func (v *vote) observe(_ context.Context, u int) (assess.Observation, error) {
	c := v.certificates[u]
	text, err := json.Marshal(certified{v.data.Number[u], c.Correct, c.Budget})
	return assess.Observation{Unit: u, Outcomes: map[string]bool{certifiedAccuracy: c.Correct && c.Budget >= v.budget}, Detail: text}, err
}

// canvass is what an attacker who has some of the networks vote as it likes makes of the answers. It goes vote by vote, and knows nothing of certificates.
type canvass struct {
	Records   int  `json:"records"`
	Networks  int  `json:"networks"`
	Budget    int  `json:"budget"`
	Certified int  `json:"certified"` // answers, against the budget; right or not
	Broken    int  `json:"broken"`    // of them, that it changes with the budget
	Kept      int  `json:"kept"`      // of the others, that it does not change
	Fallen    int  `json:"fallen"`    // that it changes if it has all networks
	Split     bool `json:"split"`     // some networks contradict others
}

// control attacks the votes.
func (v *vote) control(context.Context) (any, error) {
	out := &canvass{Records: len(v.votes), Networks: v.division.Partitions, Budget: v.budget}
	for i, votes := range v.votes {
		changed := bribe(votes, v.budget)
		switch certified := v.certificates[i].Budget >= v.budget; {
		case certified && changed:
			out.Certified, out.Broken = out.Certified+1, out.Broken+1
		case certified:
			out.Certified++
		case !changed:
			out.Kept++
		}
		if bribe(votes, v.division.Partitions) {
			out.Fallen++
		}
		out.Split = out.Split || slices.Max(votes) < v.division.Partitions
	}
	return out, nil
}

// bribe reports whether some votes can change which class wins: taken from the winner one after the other, and given to one other class.
func bribe(votes []int, budget int) bool {
	winner := slices.Index(votes, slices.Max(votes))
	for other := range votes {
		now := slices.Clone(votes)
		for n := 0; other != winner && n < budget && now[winner] > 0; n++ {
			now[winner], now[other] = now[winner]-1, now[other]+1
			if slices.Index(now, slices.Max(now)) != winner {
				return true
			}
		}
	}
	return false
}

func (c canvass) checks() []criteria.Check {
	found := criteria.Check{Name: "positive-control", Passed: c.Records > 0 && c.Budget > 0 && c.Fallen == c.Records && c.Kept == 0 && c.Split,
		Detail: fmt.Sprintf("who has all %d networks changes %d of %d answers, and who has %d changes all but %d of those that are not certified: a failure would have been seen", c.Networks, c.Fallen, c.Records, c.Budget, c.Kept)}
	switch {
	case c.Budget < 1:
		found.Detail = "nothing is poisoned, so that no answer could change"
	case !c.Split:
		found.Detail = fmt.Sprintf("the %d networks never contradict one another: nothing shows that they learnt from different records", c.Networks)
	}
	return []criteria.Check{found, {Name: "negative-control", Passed: c.Records > 0 && c.Broken == 0,
		Detail: fmt.Sprintf("who has %d networks changes %d of the %d answers that are certified", c.Budget, c.Broken, c.Certified)}}
}

// presentVote tells what was certified, and what that rests on.
func presentVote(test *assess.Test, observed []assess.Observation) (*report.Test, error) {
	if test.Outline == nil || len(test.Outline.Methods) != 1 || test.Attacker.Poison == nil {
		return nil, errors.New("the record of the plan is damaged: nothing is poisoned, or no certificate is named")
	}
	m := test.Outline.Methods[0]
	right := 0
	for _, o := range observed {
		var d certified
		if err := json.Unmarshal(o.Detail, &d); err != nil {
			return nil, fmt.Errorf("the record of unit %d is damaged: %w", o.Unit, err)
		}
		if d.Right {
			right++
		}
		if m.N++; o.Outcomes[certifiedAccuracy] {
			m.Successes++
		}
	}
	return &report.Test{
		N: len(observed), Methods: []report.Method{m},
		Attacker: []report.Fact{{Name: "poisons", Value: fmt.Sprintf("%g %% of the training data, whichever and however", 100*test.Attacker.Poison.Share)}},
		Notes: []string{
			fmt.Sprintf("%d of %d answers are right; of %d it is certified that they stay so.", right, len(observed), m.Successes),
			dpa.Assumption,
			"How the records were divided is what the model says of itself: whoever made it vouches for that, and for each network having seen its part alone.",
		},
	}, nil
}
