package main

import (
	"context"
	"fmt"

	"assay/internal/dataset"
	"assay/internal/method/membership"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/stat"
)

// compared is what one of several models of the same members gives away, and how good it is.
type compared struct {
	Model     string          `json:"model"`
	Strongest string          `json:"strongest"` // attack at the smallest FPR
	TPR       membership.Rate `json:"tpr"`       // of it
	AUROC     float64         `json:"auroc"`     // the greatest of all attacks
	Balanced  float64         `json:"balanced_accuracy"`
	LabelOnly float64         `json:"label_only_auroc"` // the greatest of attacks that see labels alone
	Accuracy  float64         `json:"accuracy"`         // on the non-members
	Interval  stat.Interval   `json:"interval"`         // of the accuracy, 95 %
}

// comparison attacks further models as the first one was, by the same shadow models.
func (f *auditFlags) comparison(ctx context.Context, u *ui, a *audit, first model.Classifier, members, others *dataset.Dataset, p membership.Population, o membership.Options) ([]compared, error) {
	row, err := a.summary(ctx, f.model, first, a.Attacks, others)
	if err != nil {
		return nil, err
	}
	list := []compared{row}
	for _, path := range f.compare {
		row, err := f.another(ctx, u, a, path, members, others, p, o)
		if err != nil {
			return nil, fmt.Errorf("--compare %s: %w", path, err)
		}
		list = append(list, row)
	}
	return list, nil
}

func (f *auditFlags) another(ctx context.Context, u *ui, a *audit, path string, members, others *dataset.Dataset, p membership.Population, o membership.Options) (compared, error) {
	victim, _, err := openVictim(ctx, u, &f.admission, path, f.parallel)
	if err != nil {
		return compared{}, err
	}
	defer victim.Close()
	rows, err := target.NewRows(members.Schema, victim.Describe())
	if err != nil {
		return compared{}, err
	}
	attacks, err := membership.Run(ctx, membership.Victim{Model: victim, Row: rows.Row, Class: rows.Class}, p, o)
	if err != nil {
		return compared{}, err
	}
	return a.summary(ctx, path, victim, attacks, others)
}

// labelOnly are the attacks that look at no score.
var labelOnly = map[string]bool{"label-augmentation": true, "label-boundary": true}

func (a *audit) summary(ctx context.Context, path string, victim model.Classifier, attacks []membership.Result, others *dataset.Dataset) (compared, error) {
	best, rate := membership.Strongest(attacks, a.FPR)
	c := compared{Model: path, Strongest: best.Attack, TPR: rate}
	for _, r := range attacks {
		c.AUROC, c.Balanced = max(c.AUROC, r.AUROC.Estimate), max(c.Balanced, r.Balanced.Estimate)
		if labelOnly[r.Attack] {
			c.LabelOnly = max(c.LabelOnly, r.AUROC.Estimate)
		}
	}
	right, _, err := hits(ctx, victim, others)
	if err != nil {
		return c, err
	}
	n := count(right)
	c.Accuracy = float64(n) / float64(others.Len())
	c.Interval, err = stat.ClopperPearson(n, others.Len(), costConfidence)
	return c, err
}

// compared prints the table.
func (u *ui) compared(a *audit) {
	for _, c := range a.Compared {
		u.row("compared", "%s: TPR %s at %g FPR (%s), AUROC %.3f, by labels alone %.3f, balanced accuracy %s; accuracy %s on the non-members, between %s and %s",
			c.Model, percent(c.TPR.Estimate), a.FPR, c.Strongest, c.AUROC, c.LabelOnly, percent(c.Balanced), percent(c.Accuracy), percent(c.Interval.Lower), percent(c.Interval.Upper))
	}
}
