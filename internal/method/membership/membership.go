// Package membership tells of records whether a model was trained on them, as an attacker would who has the records
// and may ask the model. Each attack gives each record a score, of which higher ones speak for a member. How much that
// tells is measured where it hurts: by the rate of members found (TPR) at a rate of false alarms (FPR) that is small (Carlini
// et al. 2022, arXiv:2112.03570, section III), with exact bounds.
//
// The population is records of which some are members and the others come from the same distribution. Its shadow
// models (package shadow) are trained on halves of it. A part of the records, drawn by the seed, serves to
// choose thresholds and to fit what an attack fits; results are of the others alone.
package membership

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"assay/internal/method/shadow"
	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/train"
)

// Victim is the model under attack.
type Victim struct {
	Model model.Classifier
	Row   func(record []float32) []float32 // the model's row of a record; nil where they are the same
	Class func(of int) int                 // the model's class of a class of the records; nil where they are the same
}

// Population is the records that are asked about.
type Population struct {
	*train.Data        // with Classes
	Member      []bool // whether the victim was trained on the record
}

// Options say how an attack is made.
type Options struct {
	Trainer shadow.Trainer // of models like the victim, on the population; nil leaves out attacks that need shadows
	Shadows shadow.Options
	Augment Augmentation // further queries of each record; the zero value makes none
	Attacks []Attack     // All where nil

	Calibration float64   // the part of the records to choose thresholds on: above 0, below 1
	FPRs        []float64 // at which the TPR is given, each above 0 and below 1
	Confidence  float64   // of all bounds of one kind and all attacks together, such as 0.95
	Exposed     int       // records to name for each attack
	Seed        uint64

	references []Reference // that Prepare has made
}

// Prepare trains the shadows and asks them, once for all that follows with the same options.
func (o *Options) Prepare(ctx context.Context, p Population) (err error) {
	if err := o.complete(p); err != nil || o.Trainer == nil {
		return err
	}
	o.references, err = references(ctx, p.Data, o)
	return err
}

// View is what an attack sees.
type View struct {
	*train.Data
	Victim     Victim
	Target     *Answers
	References []Reference // the shadows' answers
	Public     []int       // records that are known not to be members, from the calibration
	Seed       uint64
}

// Reference is a shadow's answers, and which records it was trained on.
type Reference struct {
	*Answers
	In []bool
}

// Run makes the attacks on a victim and measures them.
func Run(ctx context.Context, v Victim, p Population, o Options) ([]Result, error) {
	view, parts, err := prepare(ctx, v, p, &o)
	if err != nil {
		return nil, err
	}
	var out []Result
	for _, a := range o.Attacks {
		scores, err := a.Score(ctx, view)
		if err != nil {
			return nil, fmt.Errorf("attack %s: %w", a.Name, err)
		}
		r, err := measure(a, scores, p, parts, &o)
		if err != nil {
			return nil, fmt.Errorf("attack %s: %w", a.Name, err)
		}
		out = append(out, *r)
	}
	return out, nil
}

// prepare asks the victim and the shadows.
func prepare(ctx context.Context, v Victim, p Population, o *Options) (*View, *halves, error) {
	if err := o.complete(p); err != nil {
		return nil, nil, err
	}
	parts, err := divide(p, o.Calibration, o.Seed)
	if err != nil {
		return nil, nil, err
	}
	view := &View{Data: p.Data, Victim: v, Seed: o.Seed}
	for _, i := range parts.calibration {
		if !p.Member[i] {
			view.Public = append(view.Public, i)
		}
	}
	if view.Target, err = ask(ctx, v, p.Data, o.Augment); err != nil {
		return nil, nil, err
	}
	if o.references == nil {
		err = o.Prepare(ctx, p)
	}
	view.References = o.references
	return view, parts, err
}

// references trains the shadows and asks them as the victim is asked.
func references(ctx context.Context, d *train.Data, o *Options) ([]Reference, error) {
	shadows, err := shadow.Run(ctx, o.Trainer, o.Shadows)
	if err != nil {
		return nil, err
	}
	out := make([]Reference, len(shadows))
	err = shadow.Each(ctx, len(shadows), o.Shadows.Parallel, func(ctx context.Context, k int) error {
		c, err := ort.NewClassifier(ctx, shadows[k].Model, ort.ClassifierOptions{Options: ort.Options{Threads: 1}})
		if err != nil {
			return fmt.Errorf("shadow model %d: %w", k+1, err)
		}
		defer c.Close()
		a, err := ask(ctx, Victim{Model: c}, d, o.Augment)
		out[k] = Reference{Answers: a, In: shadows[k].In(d.Len())}
		return err
	})
	return out, err
}

func (o *Options) complete(p Population) error {
	members := 0
	for _, m := range p.Member {
		if m {
			members++
		}
	}
	n := p.Len()
	switch {
	case len(p.Classes) != n || len(p.Member) != n:
		return fmt.Errorf("%d records, %d classes, and for %d it is said whether they are members: each record needs both", n, len(p.Classes), len(p.Member))
	case members == 0 || members == n:
		return fmt.Errorf("%d of %d records are members: an attack is measured on members and others", members, n)
	case o.Trainer != nil && o.Trainer.Len() != n:
		return fmt.Errorf("the shadow models are of %d records, and %d are asked about: train them on the same", o.Trainer.Len(), n)
	case !(o.Calibration > 0 && o.Calibration < 1):
		return fmt.Errorf("a part of %g to choose thresholds on: give above 0 and below 1", o.Calibration)
	case !(o.Confidence > 0 && o.Confidence < 1):
		return fmt.Errorf("a confidence of %g: give between 0 and 1", o.Confidence)
	case len(o.FPRs) == 0:
		return errors.New("there is no FPR at which to give the TPR: 0.001 is usual")
	}
	for _, f := range o.FPRs {
		if !(f > 0 && f < 1) {
			return fmt.Errorf("an FPR of %g: give above 0 and below 1", f)
		}
	}
	if o.Attacks == nil {
		o.Attacks = All()
	}
	o.Attacks = slices.DeleteFunc(slices.Clone(o.Attacks), func(a Attack) bool {
		return a.Shadows && o.Trainer == nil || a.Augmented && o.Augment.Queries == 0
	})
	if len(o.Attacks) == 0 {
		return errors.New("no attack is left: those that were asked for need shadow models or augmented queries")
	}
	return nil
}

// halves are the records to choose thresholds on and those to measure on.
type halves struct{ calibration, test []int }

// divide draws the parts, members and others alike.
func divide(p Population, part float64, seed uint64) (*halves, error) {
	rng := rand.New(rand.NewPCG(seed, 0x5eed))
	h := &halves{}
	for _, member := range []bool{true, false} {
		var records []int
		for i, m := range p.Member {
			if m == member {
				records = append(records, i)
			}
		}
		rng.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		cut := int(part*float64(len(records)) + 0.5)
		if cut == 0 || cut == len(records) {
			return nil, fmt.Errorf("%d records of a kind are too few to choose thresholds on a part of %g and measure on the rest: give more", len(records), part)
		}
		h.calibration = append(h.calibration, records[:cut]...)
		h.test = append(h.test, records[cut:]...)
	}
	slices.Sort(h.calibration)
	slices.Sort(h.test)
	return h, nil
}
