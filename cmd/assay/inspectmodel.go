package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/spf13/cobra"

	"assay/internal/dataset"
	"assay/internal/method/backdoor"
	"assay/internal/method/poisoning/plant"
	"assay/internal/method/target"
)

// inspectModelFlags are the flags of assay inspect-model.
type inspectModelFlags struct {
	data             dataFlags
	twins            []string
	alpha            float64
	seed             uint64
	threads          int
	pictures, format string
	admission        admission
}

func inspectModelCommand(u *ui) *cobra.Command {
	f := &inspectModelFlags{}
	c := &cobra.Command{
		Use:   "inspect-model MODEL.onnx --data CLEAN",
		Short: "Look for a backdoor in a model",
		Long: `Look for a backdoor in a model, with labelled records that are known to be clean.

Detectors search triggers that make records any class's, and look at the weights. With
--twin, models of the same making under other seeds that are known to be clean, the
answer has a stated error: a clean model is said to have a backdoor with a probability
of at most --alpha, for which 1/alpha-1 twins are needed. Without, the thresholds are those of
the detectors' papers, how often they err on your models is not known, and nothing is decided.`,
		Example: `  assay inspect-model model.onnx --data clean.csv --label outcome
  assay inspect-model model.onnx --data clean.npz --twin a.onnx,b.onnx --alpha 0.05 --pictures triggers.html --format json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c.Context(), u, args[0]) },
	}
	f.data.add(c)
	s := c.Flags()
	s.StringSliceVar(&f.twins, "twin", nil, "a model of the same making that is known to be clean (repeat, or separate by commas)")
	s.Float64Var(&f.alpha, "alpha", 0.05, "the probability for a clean model to be said to have a backdoor")
	s.Uint64Var(&f.seed, "seed", 1, "of everything that is drawn at random")
	s.IntVar(&f.threads, "threads", 0, "processors to use (all)")
	s.StringVar(&f.pictures, "pictures", "", "an HTML file to write with pictures of the triggers recovered, where records are images")
	f.admission.add(c)
	s.StringVar(&f.format, "format", "text", "of the result: text or json")
	return c
}

func (f *inspectModelFlags) run(ctx context.Context, u *ui, path string) error {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	if !(f.alpha > 0 && f.alpha < 1) {
		return usagef("--alpha %g: give a probability between 0 and 1", f.alpha)
	}
	if n := len(f.twins); n > 0 && float64(n+1)*f.alpha < 1 {
		return usagef("--twin: nothing can be found at --alpha %g with %d twins: give 1/alpha-1 of them, or a higher --alpha", f.alpha, n)
	}
	clean, err := f.read(ctx, u, path)
	if err != nil {
		return err
	}
	if f.pictures != "" {
		if err := drawable(clean.Schema.RecordShape()); err != nil {
			return usagef("--pictures: %w", err)
		}
	}
	findings, unfit, err := f.look(ctx, u, path, clean)
	if err != nil {
		return err
	}
	var twins [][]*backdoor.Finding
	for k, twin := range f.twins {
		u.counted("twin", k+1, len(f.twins))
		of, _, err := f.look(ctx, u, twin, clean)
		if err != nil {
			return err
		}
		twins = append(twins, of)
	}
	u.done()
	out, err := f.inspected(path, clean.Schema, findings, twins, unfit)
	if err != nil {
		return err
	}
	if f.pictures != "" {
		if err := writeTriggers(f.pictures, path, clean, findings); err != nil {
			return err
		}
	}
	if f.format == "json" {
		err = u.json(out)
	} else {
		u.inspectedModel(out)
	}
	switch {
	case err != nil:
		return err
	case out.Backdoor == nil:
		return errUndecided
	case *out.Backdoor:
		return errFailed
	}
	return nil
}

// read reads the clean records, by the model's schema where it carries one.
func (f *inspectModelFlags) read(ctx context.Context, u *ui, path string) (*dataset.Dataset, error) {
	m, err := f.admission.open(ctx, u, path)
	if err != nil {
		return nil, err
	}
	schema, err := target.ReadSchema(m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f.data.read(ctx, schema, false)
}

// look has all detectors look at a model. What one cannot say anything about is nil, and the reason is given beside it.
func (f *inspectModelFlags) look(ctx context.Context, u *ui, path string, clean *dataset.Dataset) ([]*backdoor.Finding, []string, error) {
	m, err := f.admission.open(ctx, u, path)
	if err != nil {
		return nil, nil, err
	}
	s, err := backdoor.NewSubject(ctx, m, clean, backdoor.SubjectOptions{Seed: f.seed, Options: target.Options{Threads: f.threads}})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	defer s.Close()
	detectors := backdoor.All()
	findings, reasons := make([]*backdoor.Finding, len(detectors)), make([]string, len(detectors))
	for k, d := range detectors {
		var unfit *backdoor.Unfit
		findings[k], err = d.Inspect(ctx, s, rand.New(rand.NewPCG(f.seed, uint64(k))))
		switch {
		case errors.As(err, &unfit):
			reasons[k] = unfit.Reason
		case err != nil:
			return nil, nil, fmt.Errorf("%s: %s: %w", path, d.Describe().Name, err)
		}
	}
	return findings, reasons, nil
}

// inspectedModel is the result, as printed.
type inspectedModel struct {
	Model     string          `json:"model"`
	Backdoor  *bool           `json:"backdoor"` // null where nothing can be decided
	P         *float64        `json:"p"`        // of all detectors together, by the twins
	Alpha     float64         `json:"alpha"`
	Twins     int             `json:"twins"`
	Basis     string          `json:"basis"` // of the thresholds, and what is known of their errors
	Detectors []modelDetector `json:"detectors"`
}

type modelDetector struct {
	Name      string             `json:"name"`
	Reference string             `json:"reference"`
	Statistic *float64           `json:"statistic"`
	Published *float64           `json:"published"` // the paper's threshold
	Above     *bool              `json:"above"`     // the statistic is above it
	P         *float64           `json:"p"`         // by the twins, of this detector alone
	Class     string             `json:"class,omitempty"`
	Unfit     string             `json:"unfit,omitempty"`
	Classes   []modelClass       `json:"classes"`
	Channels  []backdoor.Channel `json:"channels"`
}

type modelClass struct {
	Class   string         `json:"class"`
	Size    float64        `json:"size"`
	Success *plant.Success `json:"success"` // of the trigger recovered, on records that it was not searched on
}

func (f *inspectModelFlags) inspected(path string, schema *dataset.Schema, findings []*backdoor.Finding, twins [][]*backdoor.Finding, unfit []string) (*inspectedModel, error) {
	out := &inspectedModel{Model: path, Alpha: f.alpha, Twins: len(twins), Basis: "the papers' thresholds: how often they are wrong about models like this one is not known"}
	names := schema.Label.Classes
	var fit []int
	for k, d := range backdoor.All() {
		of, line := d.Describe(), modelDetector{Unfit: unfit[k], Classes: []modelClass{}, Channels: []backdoor.Channel{}}
		line.Name, line.Reference = of.Name, of.Reference
		if found := findings[k]; found != nil {
			fit = append(fit, k)
			line.Statistic = &found.Statistic
			if of.Published > 0 {
				above := found.Statistic > of.Published
				line.Published, line.Above = &of.Published, &above
			}
			line.Channels = append(line.Channels, found.Channels...)
			for _, c := range found.Classes {
				line.Classes = append(line.Classes, modelClass{names[c.Class], c.Size, c.Success})
				if c.Statistic == found.Statistic && found.Statistic > 0 {
					line.Class = names[c.Class]
				}
			}
		}
		out.Detectors = append(out.Detectors, line)
	}
	if len(twins) == 0 || len(fit) == 0 {
		return out, nil
	}
	of := func(all []*backdoor.Finding) (some []*backdoor.Finding) {
		for _, k := range fit {
			if all[k] != nil {
				some = append(some, all[k])
			}
		}
		return some
	}
	var others [][]*backdoor.Finding
	for _, t := range twins {
		others = append(others, of(t))
	}
	v, err := backdoor.Judge(of(findings), others)
	if err != nil {
		return nil, fmt.Errorf("--twin: %w", err)
	}
	found := v.P <= f.alpha
	out.P, out.Backdoor = &v.P, &found
	out.Basis = fmt.Sprintf("%d twins: a clean model is found with a probability of at most %g", len(twins), f.alpha)
	for i, k := range fit {
		out.Detectors[k].P = &v.By[i]
		if v.At[i] >= 0 {
			out.Detectors[k].Class = names[v.At[i]]
		}
	}
	return out, nil
}

// inspectedModel prints the result.
func (u *ui) inspectedModel(o *inspectedModel) {
	switch {
	case o.Backdoor == nil:
		u.row("decision", "undecided")
	case *o.Backdoor:
		u.row("decision", "the model has a backdoor, or is not of the same making as its twins, with p = %.3g", *o.P)
	default:
		u.row("decision", "no sign of a backdoor, with p = %.3g", *o.P)
	}
	u.row("basis", "%s", o.Basis)
	for _, d := range o.Detectors {
		if d.Statistic == nil {
			u.row("detector", "%s: %s", d.Name, d.Unfit)
			continue
		}
		text := fmt.Sprintf("%s: %.3g", d.Name, *d.Statistic)
		if d.Published != nil {
			text += fmt.Sprintf(", the paper's threshold %g", *d.Published)
		}
		if d.P != nil {
			text += fmt.Sprintf(", p = %.3g", *d.P)
		}
		if d.Class != "" {
			text += ", most by class " + d.Class
		}
		u.row("detector", "%s", text)
		for _, c := range d.Classes {
			if s := c.Success; s != nil && c.Class == d.Class {
				u.row("", "its trigger moves %d of %d records (%s to %s)", s.Successes, s.N, percent(s.Lower), percent(s.Upper))
			}
		}
	}
}
