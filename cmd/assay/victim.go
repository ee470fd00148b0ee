package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/extraction"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/model/remote"
	"assay/internal/strict"
	"assay/internal/system"
	"assay/internal/train/network"
	"assay/onnx"
)

// openVictim opens a model that is only asked: an ONNX file, or an endpoint that a YAML file describes. The schema is
// that which the file carries, nil for none.
func openVictim(ctx context.Context, u *ui, a *admission, path string, threads int) (model.Classifier, *dataset.Schema, error) {
	if !slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(path)) {
		m, err := a.open(ctx, u, path)
		if err != nil {
			return nil, nil, err
		}
		schema, err := target.ReadSchema(m)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		c, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: ort.Options{Threads: threads}})
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		return c, schema, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, strict.MaxBytes+1))
	if err != nil {
		return nil, nil, err
	}
	var cfg remote.Config
	if err := strict.Decode(path, data, &cfg, system.Sets()).Err(); err != nil {
		return nil, nil, err
	}
	c, err := remote.Open(ctx, cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil, nil
}

// extractor is how a surrogate is made, as flags say it.
type extractor struct {
	strategy, answers, arch string
	queries, decimals       int
	seeds, threads          int
	step                    float64
	seed                    uint64
}

// The usual settings of an extraction.
const (
	usualStep     = 0.1
	usualDecimals = 2
)

func (x *extractor) run(ctx context.Context, u *ui, v model.Classifier, rows *target.Rows, records *dataset.Dataset, natural []int) (*extraction.Surrogate, error) {
	domain, err := method.DomainOf(records.Schema, records.Statistics(), method.ByRange)
	if err != nil {
		return nil, err
	}
	shape := slices.Clone(records.Schema.RecordShape())
	build, shape, err := surrogateNetwork(x.arch, shape, len(v.Describe().Classes))
	if err != nil {
		return nil, err
	}
	var given [][]float32
	for _, i := range natural {
		given = append(given, records.Record(i))
	}
	s, err := extraction.Run(ctx, extraction.Victim{Model: v, Row: rows.Row}, given, extraction.Options{
		Strategy: extraction.Strategy(x.strategy), Queries: x.queries, Answers: extraction.Answers(x.answers),
		Decimals: x.decimals, Seeds: x.seeds, Step: x.step, Domain: domain, Shape: shape, Network: build,
		Seed: x.seed, Threads: x.threads, Progress: func(p extraction.Progress) { u.counted("query", p.Asked, p.Queries) },
	})
	u.done()
	if err != nil {
		return nil, err
	}
	return s, x.inscribe(s, v, rows, records)
}

// inscribe writes into a surrogate what it takes and gives, and where it comes from.
func (x *extractor) inscribe(s *extraction.Surrogate, v model.Classifier, rows *target.Rows, records *dataset.Dataset) error {
	names := v.Describe().Classes
	for i, name := range records.Schema.Label.Classes {
		names[rows.Class(i)] = name
	}
	schema := *records.Schema
	schema.Label.Classes = names
	if err := target.WriteSchema(s.Model, &schema); err != nil {
		return err
	}
	return writeOrigin(s.Model, extractedBy{x.strategy, x.answers, s.Queries})
}

// surrogateNetwork gives the builder of a network for records of a shape, and the shape in which it takes them.
func surrogateNetwork(arch string, shape []int, classes int) (func(uint64) *onnx.Model, []int, error) {
	features := 1
	for _, n := range shape {
		features *= n
	}
	if arch == "auto" {
		arch = "mlp"
		if len(shape) == 3 {
			arch = "cnn"
		}
	}
	switch {
	case arch == "cnn" && len(shape) == 3:
		return func(seed uint64) *onnx.Model {
			return network.CNN(shape[0], shape[1], shape[2], []int{16, 32, 32}, classes, seed)
		}, shape, nil
	case arch == "cnn":
		return nil, nil, usagef("--arch cnn is for images, and the records have the shape %v: use mlp", shape)
	case arch == "mlp":
		return func(seed uint64) *onnx.Model { return network.MLP(features, []int{64, 32}, classes, seed) }, []int{features}, nil
	case arch == "logistic":
		return func(seed uint64) *onnx.Model { return network.Logistic(features, classes, seed) }, []int{features}, nil
	}
	return nil, nil, usagef("--arch %s: use auto, logistic, mlp or cnn", arch)
}

// extractedBy says in a surrogate's metadata how it was made.
type extractedBy struct {
	Strategy string `json:"strategy"`
	Answers  string `json:"answers"`
	Queries  int    `json:"queries"`
}

// originEntry is where a surrogate says it.
const originEntry = "assay.extraction"

func writeOrigin(m *onnx.Model, o extractedBy) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	m.Metadata[originEntry] = string(text)
	return nil
}

// readOrigin is empty for a model that does not say it.
func readOrigin(m *onnx.Model) (o extractedBy, err error) {
	text := m.Metadata[originEntry]
	if text == "" {
		return o, nil
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil || o.Queries < 0 {
		return o, fmt.Errorf("its metadata %s are not as assay extract writes them: extract it again", originEntry)
	}
	return o, nil
}
