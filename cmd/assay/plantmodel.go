package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"assay/internal/builtin"
	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant/tamper"
	"assay/internal/method/target"
	"assay/onnx"
)

// modelReport is what was planted in a model: the result, and its manifest.
type modelReport struct {
	Model   string             `json:"model"`
	Attack  tamper.Description `json:"attack"`
	Rate    float64            `json:"rate,omitempty"`
	Bits    int                `json:"bits,omitempty"`
	Trigger string             `json:"trigger,omitempty"`
	Target  string             `json:"target,omitempty"`
	Seed    uint64             `json:"seed"`
	Changed int                `json:"changed"` // weights or classes that are not as they were
	Was     dataset.Digest     `json:"was"`     // SHA-256 of the model given, as written by this program
	Digest  dataset.Digest     `json:"digest"`  // of the changed one
	Out     string             `json:"out"`
	Test    int                `json:"test,omitempty"`
}

// runModel plants a fault in a copy of a model.
func (f *plantFlags) runModel(ctx context.Context, u *ui) error {
	if filepath.Ext(f.out) != ".onnx" {
		return usagef("--out %s: a model is written to a file that ends in .onnx", f.out)
	}
	m, err := onnx.Open(f.model)
	if err != nil {
		return err
	}
	schema, err := target.ReadSchema(m)
	if err != nil {
		return fmt.Errorf("%s: %w", f.model, err)
	}
	tamperer, err := f.tamperer()
	if err != nil {
		return err
	}
	of := tamperer.Describe()
	var d, test *dataset.Dataset
	if f.data.path != "" {
		if d, err = f.data.read(ctx, schema, false); err != nil {
			return err
		}
		schema = d.Schema
		if test, err = f.readTest(ctx, schema); err != nil {
			return err
		}
	}
	o := tamper.Options{Rate: f.rate, Bits: f.bits, Seed: f.seed}
	switch {
	case of.Data && d == nil:
		return usagef("--attack %s needs --data", f.attack)
	case of.Targeted && f.target == "":
		return usagef("--attack %s needs --target", f.attack)
	case of.Targeted:
		if o.Target, err = classOf(schema, f.target); err != nil {
			return err
		}
	case f.target != "":
		return usagef("--attack %s gives no class that could be chosen: leave out --target", f.attack)
	}
	t, err := tamperer.Tamper(ctx, m, d, o)
	if err != nil {
		return err
	}
	r := &modelReport{Model: f.model, Attack: of, Target: f.target, Seed: f.seed, Changed: t.Changed, Out: f.out}
	return f.writeModel(u, r, m, t, test)
}

// tamperer gives the attack by its name, with the trigger.
func (f *plantFlags) tamperer() (tamper.Tamperer, error) {
	trigger, err := builtin.FindPlanter(f.trigger, builtin.Planting{Features: f.features})
	if err != nil {
		return nil, usagef("--trigger: %w", err)
	}
	t, err := builtin.FindTamperer(f.attack, trigger)
	if err != nil {
		return nil, usagef("--attack: %w", err)
	}
	return t, nil
}

// classOf gives a class by its name, or by its number where the classes have no names.
func classOf(s *dataset.Schema, name string) (int, error) {
	if s == nil {
		if k, err := strconv.Atoi(name); err == nil && k >= 0 {
			return k, nil
		}
		return 0, usagef("--target %s: the model does not name its classes; give the number of one, from 0, or --data", name)
	}
	k := slices.Index(s.Label.Classes, name)
	if k < 0 {
		return 0, usagef("--target %s is no class: use one of %s", name, strings.Join(s.Label.Classes, ", "))
	}
	return k, nil
}

func (f *plantFlags) writeModel(u *ui, r *modelReport, m *onnx.Model, t *tamper.Tampered, test *dataset.Dataset) error {
	switch r.Attack.Name {
	case "flip-bits", "flip-worst-bits":
		r.Bits = f.bits
	case "fine-tune", "batch-norm":
		r.Rate = f.rate
	}
	for to, model := range map[*dataset.Digest]*onnx.Model{&r.Was: m, &r.Digest: t.Model} {
		content, err := model.Encode()
		if err != nil {
			return err
		}
		*to = sha256.Sum256(content)
	}
	var triggered *dataset.Dataset
	if t.Planted != nil {
		r.Trigger = f.trigger
	}
	if test != nil {
		if t.Planted == nil {
			return usagef("--test-data is for attacks with a trigger, and %s has none", f.attack)
		}
		var err error
		if triggered, err = t.Planted.Triggered(test); err != nil {
			return fmt.Errorf("--test-data: %w", err)
		}
		r.Test = triggered.Len()
	}
	if err := t.Model.Save(f.out); err != nil {
		return err
	}
	if triggered != nil {
		if err := writeWhole(f.testOut, func(w io.Writer) error { return writerOf(f.testOut)(w, triggered) }); err != nil {
			return err
		}
	}
	if f.manifest != "" {
		if err := writeJSON(f.manifest, r); err != nil {
			return err
		}
	}
	if f.format == "json" {
		return u.json(r)
	}
	u.row("planted", "%s: %d weights or classes are not as they were", f.attack, r.Changed)
	f.files(u, r.Target, r.Test)
	return nil
}

func writeJSON(path string, v any) error {
	return writeWhole(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	})
}
