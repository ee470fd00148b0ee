// Package remote asks a model behind a network endpoint. It implements the port
// model.Classifier for four protocols:
//
//   - v2-rest: the Open Inference Protocol, version 2, over REST with JSON tensors, as
//     KServe, Triton, MLServer and OpenVINO Model Server speak it
//     (kserve/open-inference-protocol, specification/protocol/inference_rest.md);
//   - v2-grpc: the same over gRPC (open_inference_grpc.proto);
//   - tensorflow-serving: TensorFlow Serving's REST interface, in row format;
//   - json: any endpoint that takes and gives JSON, by a template for the request and a
//     path to the scores in the answer.
//
// A Config says all that a user can say; in YAML:
//
//	protocol: v2-rest
//	url: https://models.example.org
//	model: digits
//	scores: logits
//	budget: 10000
//	rate: {requests: 20}
//	auth: {environment: MODEL_TOKEN, prefix: "Bearer "}
//
// and for an endpoint of one's own:
//
//	protocol: json
//	url: https://example.org/score
//	shape: [30]
//	classes: [benign, malignant]
//	scores: labels
//	request: '{"records": {{json .Rows}}}'
//	answer: records[*].diagnosis
//
// # Requests by template
//
// The request of protocol json is a template in the language of text/template, without
// definitions, methods, and variables other than those of range. It is given
//
//	.Rows    the rows, each in arrays of its shape; [[1,2],[3,4]] for two of two columns
//	.Count   the number of rows
//
// and can call json, which writes any value as JSON, len, index, comparisons, and, or and
// not. What it makes must be JSON. For instance
//
//	{"records": {{json .Rows}}}
//	{"age": {{json (index .Rows 0 0)}}, "dose": {{json (index .Rows 0 1)}}}
//
// the second with max_rows: 1. The answer is a path: names with dots between them, [3]
// for an element counted from 0, [*] for all, ["a name"] for a member of any name, $ for
// the whole. There is one row for each element of the outermost [*], or array; with
// max_rows: 1 a row may stand alone. A row is a list of scores, an object with a score for
// the name of each class, or a label.
//
// # What is asked, and how often
//
// A call of Predict may have any number of rows: it is cut into requests of at most
// max_rows. A request that fails for a passing reason (429, 502, 503, 504, no
// connection) is repeated after a pause that doubles each time, with jitter; what fails
// otherwise, timeouts included, is not. The budget and Queries count rows, each once
// however often its request was repeated: the faults of a network do not change where
// an attack ends. Rows that fill up a fixed batch do not count. When the budget would
// be exceeded, Predict sends nothing and returns a *BudgetError.
//
// # What an endpoint may do
//
// An endpoint is not trusted. Answers are read up to a limit of bytes, within the
// timeout, and into memory in proportion to the scores that are due; numbers must be
// finite, the number of rows and classes right. Redirects are not followed. The secret
// of auth is sent to the endpoint alone, and is cut out of everything that errors and
// logs quote.
package remote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"assay/internal/model"
)

// Classifier asks a model behind an endpoint. It implements model.Classifier.
type Classifier struct {
	protocol    protocol
	description model.Description
	query       query // without rows
	columns     int   // of the scores in an answer: 1 for the second of two classes alone
	chunk       int   // rows of a request
	asker       *asker
	budget      *budget

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

var _ model.Classifier = (*Classifier)(nil)

// protocol is one way to ask an endpoint, once. Errors of the endpoint are *Error.
type protocol interface {
	// metadata tells what the endpoint says about its model, which may be nothing.
	metadata(ctx context.Context) (metadata, error)
	infer(ctx context.Context, q query) (answer, error) // checked
	close() error
}

// metadata is what an endpoint says about its model.
type metadata struct {
	inputs, outputs []tensorInfo
	missing         *Error // how the endpoint said that it has none
}

// tensorInfo is what is known of an input or output; zero fields are unknown.
type tensorInfo struct {
	name     string
	datatype string  // in the Open Inference Protocol's words
	shape    []int64 // with the batch, -1 for any size; nil: unknown
}

// query is a request for the scores of n rows.
type query struct {
	input  tensorInfo // its shape is that of one row
	output string
	rows   []float64
	n      int
	limit  int // values that the answer may hold
}

// answer is a tensor of numbers or of texts, one of which is empty.
type answer struct {
	shape   []int64
	numbers []float64
	texts   []string
}

// Open connects to an endpoint: it reads the endpoint's metadata, compares it with
// what the configuration says, and asks for the scores of one row of zeros, so that
// what cannot work fails here. That row counts as a query.
func Open(ctx context.Context, cfg Config) (*Classifier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	hidden, err := cfg.Auth.secret()
	if err != nil {
		return nil, err
	}
	p, err := newProtocol(cfg, hidden)
	if err != nil {
		return nil, err
	}
	c := &Classifier{protocol: p, asker: newAsker(cfg, hidden), budget: &budget{limit: cfg.Budget}}
	if err := c.open(ctx, cfg); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return c, nil
}

func newProtocol(cfg Config, hidden secret) (protocol, error) {
	if cfg.Protocol == V2GRPC {
		return newGRPC(cfg, hidden)
	}
	client, err := newHTTPClient(cfg, hidden)
	if err != nil {
		return nil, err
	}
	switch cfg.Protocol {
	case V2REST:
		return &v2REST{httpClient: client, name: cfg.Model, version: cfg.Version}, nil
	case TensorFlowServing:
		return &tensorFlowServing{httpClient: client, model: cfg.Model, version: cfg.Version, signature: cfg.Signature}, nil
	default:
		return newJSONEndpoint(client, cfg)
	}
}

func (c *Classifier) open(ctx context.Context, cfg Config) error {
	var m metadata
	err := c.asker.ask(ctx, 0, func(ctx context.Context) (err error) {
		m, err = c.protocol.metadata(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("read the model's metadata: %w", err)
	}
	if err := c.settle(cfg, m); err != nil {
		e := &Error{Problem: err.Error()}
		if m.missing != nil {
			e = m.missing
			e.Problem = "it has no metadata of the model, and " + err.Error()
		}
		return c.asker.failure(e)
	}
	if err := c.probe(ctx); err != nil {
		return fmt.Errorf("a first request, of one row of zeros: %w", err)
	}
	return nil
}

// probe asks for one row, to learn what metadata and configuration leave open.
func (c *Classifier) probe(ctx context.Context) error {
	if err := c.budget.take(1); err != nil {
		return err
	}
	a, err := c.answer(ctx, make([]float64, c.description.RowSize()), 1)
	if err != nil {
		return err
	}
	return c.learn(a)
}

// Describe tells what the model takes and gives.
func (c *Classifier) Describe() model.Description {
	d := c.description
	d.Shape, d.Classes = slices.Clone(d.Shape), slices.Clone(d.Classes)
	return d
}

// Queries is the number of rows that the endpoint was asked about, the one that Open
// asks among them.
func (c *Classifier) Queries() int64 { return c.budget.count() }

// Close waits for calls of Predict and ends the connections.
func (c *Classifier) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.mu.Unlock()
	c.running.Wait()
	return c.protocol.close()
}

// Predict writes the classes' scores of each row. Values must be finite in the model's
// datatype; integers are rounded to the nearest that it has. An error of the endpoint is an
// *Error, an exhausted budget a *BudgetError.
func (c *Classifier) Predict(ctx context.Context, rows, scores []float64) error {
	n, err := c.description.Rows(rows, scores)
	if err != nil {
		return err
	}
	size, classes := c.description.RowSize(), len(c.description.Classes)
	for i, v := range rows {
		if !datatypes[c.query.input.datatype].takes(v) {
			return fmt.Errorf("value %d of row %d is %g, which is no finite number of type %s: only those can be sent", i%size, i/size, v, c.query.input.datatype)
		}
	}
	if err := c.begin(); err != nil {
		return err
	}
	defer c.running.Done()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := c.budget.take(n); err != nil {
		return err
	}
	for start := 0; start < n; start += c.chunk {
		end := min(start+c.chunk, n)
		a, err := c.answer(ctx, rows[start*size:end*size], end-start)
		if err != nil {
			c.budget.giveBack(n - end) // these were not asked
			return err
		}
		if err := c.read(a, scores[start*classes:end*classes]); err != nil {
			c.budget.giveBack(n - end)
			return err
		}
	}
	return ctx.Err()
}

func (c *Classifier) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return fmt.Errorf("%s was closed: open it again to ask it", c.asker.endpoint)
	}
	c.running.Add(1)
	return nil
}

// answer asks for the scores of n rows, which fit in one request.
func (c *Classifier) answer(ctx context.Context, rows []float64, n int) (answer, error) {
	q := c.query
	q.rows, q.n = rows, n
	if fixed := c.description.Batch; n < fixed {
		q.rows = append(slices.Clone(rows), make([]float64, (fixed-n)*c.description.RowSize())...)
		q.n = fixed
	}
	q.limit = q.n * model.MaxClasses
	if c.columns > 0 {
		q.limit = q.n * c.columns
	}
	var a answer
	err := c.asker.ask(ctx, n, func(ctx context.Context) (err error) {
		a, err = c.protocol.infer(ctx, q)
		return err
	})
	return a, err
}
