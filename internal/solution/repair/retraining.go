package repair

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"assay/internal/dataset"
	"assay/internal/model/ort"
	"assay/internal/solution/rewrite"
	"assay/internal/train"
	"assay/onnx"
)

// Removal trains the model's network anew, from weights drawn at random, on the records that are not in quarantine. Constants by which it
// standardizes its input stay those of all records.
type Removal struct {
	Quarantine *dataset.Quarantine
	Train      train.Options // Seed, Threads and Progress aside
}

// Describe implements Repair.
func (Removal) Describe() Description {
	return Description{"removal", "the records in quarantine removed, and trained anew", Training, "Tran, Li and Madry 2018 (arXiv:1811.00636), algorithm 1, retraining"}
}

// Repair implements Repair. The records are all that the quarantine is of.
func (r Removal) Repair(ctx context.Context, m *onnx.Model, records *dataset.Dataset, o Options) (*Repaired, error) {
	rest, _, err := apart(r.Describe(), records, r.Quarantine)
	if err != nil {
		return nil, err
	}
	trained, err := anew(ctx, r.Describe(), m, rest, r.Train, o)
	if err != nil {
		return nil, err
	}
	return &Repaired{trained, fmt.Sprintf("trained anew on %d of %d records, without those in quarantine", rest.Len(), records.Len())}, nil
}

// Relabelling trains the model's network anew on the records that are not in quarantine, gives those that are the classes
// that it says, and trains anew on all of them: a trigger that stays in the data is then learned to mean nothing.
type Relabelling struct {
	Quarantine *dataset.Quarantine
	Train      train.Options // Seed, Threads and Progress aside
}

// Describe implements Repair.
func (Relabelling) Describe() Description {
	return Description{"relabelling", "the records in quarantine labelled by a model of the others, and trained anew", Training, "after Wang et al. 2019 (Neural Cleanse, IEEE S&P), section VI.C, unlearning by right labels"}
}

// Repair implements Repair. The records are all that the quarantine is of.
func (r Relabelling) Repair(ctx context.Context, m *onnx.Model, records *dataset.Dataset, o Options) (*Repaired, error) {
	rest, suspicious, err := apart(r.Describe(), records, r.Quarantine)
	if err != nil {
		return nil, err
	}
	first, err := anew(ctx, r.Describe(), m, rest, r.Train, o)
	if err != nil {
		return nil, err
	}
	classes, err := answers(ctx, first, records.Select(suspicious).X, ort.Options{Threads: o.Threads})
	if err != nil {
		return nil, err
	}
	all, changed := *records, 0
	all.Y = slices.Clone(records.Y)
	for k, i := range suspicious {
		if all.Y[i] != classes[k] {
			all.Y[i], changed = classes[k], changed+1
		}
	}
	trained, err := anew(ctx, r.Describe(), m, &all, r.Train, o)
	if err != nil {
		return nil, err
	}
	return &Repaired{trained, fmt.Sprintf("trained anew on %d records, of which %d of the %d in quarantine got another label", all.Len(), changed, len(suspicious))}, nil
}

// apart gives the records that are not in quarantine, and where among all those are that are.
func apart(of Description, records *dataset.Dataset, q *dataset.Quarantine) (rest *dataset.Dataset, suspicious []int, err error) {
	if records == nil || q == nil || len(q.Records) == 0 {
		return nil, nil, fmt.Errorf("%s needs the training records and a quarantine with some of them", of.Name)
	}
	if rest, err = records.Without(q); err != nil {
		return nil, nil, err
	}
	held := map[int64]bool{}
	for _, r := range q.Records {
		held[r.Number] = true
	}
	for i, n := range records.Number {
		if held[n] {
			suspicious = append(suspicious, i)
		}
	}
	return rest, suspicious, nil
}

// anew trains the network of a model from the beginning.
func anew(ctx context.Context, of Description, m *onnx.Model, records *dataset.Dataset, t train.Options, o Options) (*onnx.Model, error) {
	d, err := examples(of, m, records)
	if err != nil {
		return nil, err
	}
	fresh, err := train.Reset(m, d, o.Seed)
	if err != nil {
		return nil, err
	}
	t.Seed, t.Threads, t.Progress = o.Seed, o.Threads, o.Progress
	r, err := train.Run(ctx, fresh, d, t)
	if err != nil {
		return nil, err
	}
	return r.Model, nil
}

// answers gives the class of each of the rows by a model.
func answers(ctx context.Context, m *onnx.Model, rows []float32, o ort.Options) ([]int32, error) {
	c, err := rewrite.Open(ctx, m, o)
	if err != nil {
		return nil, err
	}
	scores, err := rewrite.LogitsOf(ctx, c, rows, o)
	if err != nil {
		return nil, err
	}
	n := len(c.Classes)
	if n == 0 || len(scores) != len(rows)/c.RowSize()*n {
		return nil, errors.New("the model gives no score of each class for each record")
	}
	var out []int32
	for at := 0; at < len(scores); at += n {
		row := scores[at : at+n]
		out = append(out, int32(slices.Index(row, slices.Max(row))))
	}
	return out, nil
}
