package robustness

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"assay"
	"assay/internal/assess"
	"assay/internal/dataset"
	"assay/internal/evidence"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/model/remote"
	"assay/internal/system"
	"assay/internal/trees"
	"assay/onnx"
)

// prepared is a model and data made ready for an attacker.
type prepared struct {
	description model.Description
	records     *records
	rows        *target.Rows
	domain      *method.Domain
	pool        [][]float32
	battery     *evasion.Battery
	remarks     []string
	remote      bool

	open func(ctx context.Context) (method.Target, func(), error)
	idle chan opened
	all  chan opened // of every target, to be closed
}

type opened struct {
	target method.Target
	close  func()
}

// maxTargets bounds how many sessions of a model there can be.
const maxTargets = 256

// records are data read by a schema.
type records struct {
	*dataset.Dataset
	statistics []dataset.Statistics
}

// poolSize is how many records decision-based methods may start from.
const poolSize = 64

// prepare makes the model and the data of a test ready, once for all shards.
func (t *Tester) prepare(ctx context.Context, test *assess.Test) (*prepared, error) {
	return t.tests.get(test, func() (*prepared, error) { return t.newPrepared(ctx, test) })
}

func (t *Tester) newPrepared(ctx context.Context, test *assess.Test) (_ *prepared, err error) {
	m, d := t.model(test.Model), t.find(test.Data)
	if m == nil || d == nil {
		return nil, fmt.Errorf("the description has no model %q or no data %q", test.Model, test.Data)
	}
	p := &prepared{idle: make(chan opened, maxTargets), all: make(chan opened, maxTargets)}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	p.battery = &evasion.Battery{Attacker: method.Attacker{
		Access: test.Attacker.Access, Norm: method.Norm(test.Attacker.Norm), Eps: test.Attacker.Eps,
		Groups: test.Attacker.Groups, Queries: test.Attacker.Queries,
	}, Open: t.known}
	var schema *dataset.Schema
	if m.Endpoint != "" {
		err = t.openRemote(ctx, p, m)
	} else {
		schema, err = t.openLocal(ctx, p, m, test)
	}
	if err != nil {
		return nil, err
	}
	if p.records, err = t.read(ctx, d, schema); err != nil {
		return nil, err
	}
	if p.rows, err = target.NewRows(p.records.Schema, p.description); err != nil {
		return nil, t.system.Mistake(m.At, "the data %s do not fit the model %s: %v", d.Name, m.Name, err)
	}
	if err := p.constrain(t.system, d, test); err != nil {
		return nil, err
	}
	if y := p.records.Y; !slices.ContainsFunc(y, func(c int32) bool { return c != y[0] }) {
		p.remarks = append(p.remarks, fmt.Sprintf("all %d records of %s are of the class %q: what is found on them says nothing of other classes", len(y), d.Name, p.records.Schema.Label.Classes[y[0]]))
	}
	p.battery.Shape, p.battery.Layout = p.description.Shape, p.description.Layout
	if text := target.Misfit(p.records.Dataset, p.description); text != "" {
		p.remarks = append(p.remarks, text)
	}
	for _, i := range test.Order(p.records.Len())[:min(poolSize, p.records.Len())] {
		p.pool = append(p.pool, p.rows.Row(p.records.Record(i)))
	}
	return p, nil
}

// constrain makes the domain: limits, fixed features, groups and relations.
func (p *prepared) constrain(s *system.System, d *system.Data, test *assess.Test) error {
	domain, err := method.DomainOf(p.records.Schema, p.records.statistics, method.Scaling(test.Attacker.Unit))
	if err != nil {
		return s.Mistake(d.At, "%v", err)
	}
	for i, r := range d.Relations {
		of, weights, err := r.On(p.records.Schema)
		if err != nil {
			return s.Mistake(fmt.Sprintf("%s.relations[%d]", d.At, i), "%v", err)
		}
		domain.Relations = append(domain.Relations, method.Relation{Of: of, Weights: weights, Bound: r.Bound})
	}
	p.domain = p.rows.Domain(domain)
	return nil
}

func (t *Tester) model(name string) *system.Model {
	i := slices.IndexFunc(t.system.Models, func(m system.Model) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &t.system.Models[i]
}

func (t *Tester) find(name string) *system.Data {
	i := slices.IndexFunc(t.system.Data, func(d system.Data) bool { return d.Name == name })
	if i < 0 {
		return nil
	}
	return &t.system.Data[i]
}

// read reads data once for all models that were trained by the same schema.
func (t *Tester) read(ctx context.Context, d *system.Data, schema *dataset.Schema) (*records, error) {
	o := t.system.Options(d)
	if o.Schema == nil {
		o.Schema = schema
	}
	key := d.Name + "\x00" + evidence.DigestOf(o.Schema)
	if r := t.data[key]; r != nil {
		return r, nil
	}
	read, err := dataset.Load(ctx, t.system.Path(d.File), o)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil:
		return nil, t.system.Mistake(d.At+".file", "%v", err)
	case read.Len() == 0:
		return nil, t.system.Mistake(d.At+".file", "%s has no records", d.File)
	case read.Y == nil:
		return nil, t.system.Mistake(d.At, "%s has no labels: name their column by label, or their file by labels", d.File)
	}
	r := &records{read, read.Statistics()}
	t.data[key] = r
	return r, nil
}

// openLocal opens an ONNX file. Each target has sessions of one thread, so that several shards run side by
// side and rounding does not depend on the number of processors.
func (t *Tester) openLocal(ctx context.Context, p *prepared, m *system.Model, test *assess.Test) (*dataset.Schema, error) {
	graph, err := onnx.Open(t.system.Path(m.File))
	if err != nil {
		return nil, t.system.Mistake(m.At+".file", "%v", err)
	}
	schema, err := target.ReadSchema(graph)
	if err != nil {
		return nil, t.system.Mistake(m.At+".file", "%s: %v", m.File, err)
	}
	if m.Detector != nil {
		if graph, err = t.guard(ctx, p, m, graph, schema, test); err != nil {
			return nil, err
		}
	}
	options := target.Options{Override: m.Override(), Threads: 1, Library: t.library}
	first, err := target.Open(ctx, graph, options)
	if err != nil {
		return nil, t.system.Mistake(m.At+".file", "%s: %v", m.File, err)
	}
	p.description = first.Description
	if p.battery.Attacker.Access == assay.Gradients && first.NoGradient != nil && first.Surrogate == nil && !first.Hidden() {
		p.battery.Attacker.Access = assay.Scores
		if p.battery.Trees, p.battery.TreesOf = readTrees(graph), readTrees; p.battery.Trees != nil {
			p.remarks = append(p.remarks, "the attacker has the model, which consists of decision trees: beside the methods for scores, those that read the trees are used, of which one is exact")
		} else {
			p.remarks = append(p.remarks, fmt.Sprintf("the attacker has the model, and nobody could follow its gradients, as it has none (%v): the methods for scores are used", first.NoGradient))
		}
	}
	p.limitAccess()
	p.open = func(ctx context.Context) (method.Target, func(), error) {
		m, err := target.Open(ctx, graph, options)
		if err != nil {
			return method.Target{}, nil, err
		}
		return m.Target, m.Close, nil
	}
	p.keep(opened{first.Target, first.Close})
	return schema, nil
}

// readTrees gives the methods for trees where a model consists of them.
func readTrees(m *onnx.Model) []method.Method {
	e, err := trees.Read(m)
	if err != nil {
		return nil
	}
	return []method.Method{trees.Leaves{Ensemble: e, Starts: 20}, trees.Exact{Ensemble: e, Work: 2_000_000}}
}

// openRemote opens an endpoint. It has no gradients, and no second session: what confirms is
// another request of one row.
func (t *Tester) openRemote(ctx context.Context, p *prepared, m *system.Model) error {
	e := t.system.Endpoint(m)
	c, err := remote.Open(ctx, t.system.Config(e))
	if err != nil {
		return assay.WithCode(assay.CodeEndpoint, err)
	}
	p.description, p.remote = c.Describe(), true
	if p.battery.Attacker.Access == assay.Gradients {
		p.battery.Attacker.Access = assay.Scores
		p.remarks = append(p.remarks, "the attacker is taken to have the model, but behind an endpoint its gradients cannot be had: name its file to test that")
	}
	p.limitAccess()
	shared := method.Target{Model: c, Confirm: c}
	p.open = func(context.Context) (method.Target, func(), error) { return shared, func() {}, nil }
	p.keep(opened{shared, func() { c.Close() }})
	return nil
}

// limitAccess takes account of a model that gives labels alone.
func (p *prepared) limitAccess() {
	if p.description.Output == model.Labels && p.battery.Attacker.Access != assay.Labels {
		p.battery.Attacker.Access = assay.Labels
		p.remarks = append(p.remarks, "the model gives labels alone: the methods for labels are used")
	}
}

func (p *prepared) keep(o opened) {
	p.all <- o
	p.idle <- o
}

// acquire makes a test ready and gives a target of it that nobody else uses until it is released.
func (t *Tester) acquire(ctx context.Context, test *assess.Test) (*prepared, method.Target, func(), error) {
	p, err := t.prepare(ctx, test)
	if err != nil {
		return nil, method.Target{}, nil, err
	}
	ready, release, err := p.acquire(ctx)
	return p, ready, release, err
}

// acquire gives a target that nobody else uses, opening one where there is none.
func (p *prepared) acquire(ctx context.Context) (method.Target, func(), error) {
	var o opened
	select {
	case o = <-p.idle:
	default:
		t, closing, err := p.open(ctx)
		if err != nil {
			return method.Target{}, nil, err
		}
		o = opened{t, closing}
		select {
		case p.all <- o:
		default:
			closing()
			return method.Target{}, nil, fmt.Errorf("more than %d shards run at once: use fewer workers", maxTargets)
		}
	}
	ready := o.target
	ready.Domain, ready.Pool = p.domain, p.pool
	return ready, func() { p.idle <- o }, nil
}

func (p *prepared) close() {
	close(p.all)
	for o := range p.all {
		o.close()
	}
}

// options are those of a run of methods. An endpoint may cost by the row, so its batches are not filled up.
func (p *prepared) options(test *assess.Test) method.Options {
	o := method.Options{Seed: test.Seed}
	if p.remote {
		o.Batch = 1
	}
	return o
}

// known opens the linear model of the controls.
func (t *Tester) known(ctx context.Context, m *onnx.Model) (method.Target, func(), error) {
	opened, err := target.Open(ctx, m, target.Options{Threads: 1, Library: t.library})
	if err != nil {
		return method.Target{}, nil, err
	}
	return opened.Target, opened.Close, nil
}

// encode writes a row as it is recorded.
func encode(row []float32) []byte {
	out := make([]byte, 0, 4*len(row))
	for _, v := range row {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
	}
	return out
}

func decode(text []byte) []float32 {
	row := make([]float32, len(text)/4)
	for i := range row {
		row[i] = math.Float32frombits(binary.LittleEndian.Uint32(text[4*i:]))
	}
	return row
}
