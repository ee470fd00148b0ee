package remote

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"assay/internal/model"
	"assay/onnx"
)

// Protocol is the way in which an endpoint is asked.
type Protocol string

// The protocols.
const (
	V2REST            Protocol = "v2-rest"
	V2GRPC            Protocol = "v2-grpc"
	TensorFlowServing Protocol = "tensorflow-serving"
	JSON              Protocol = "json"
)

var protocols = []Protocol{V2REST, V2GRPC, TensorFlowServing, JSON}

// Config says where a model is and how it is asked. Fields that the endpoint's
// metadata tell may be left out; where both tell, they must agree.
type Config struct {
	Protocol Protocol `yaml:"protocol" json:"protocol"`

	// URL is the server's address, grpc://host:port or grpcs://host:port (with TLS) for
	// v2-grpc, else http or https. For json it is what requests are posted to; for the
	// other protocols the path of the interface, such as /v2, follows it.
	URL string `yaml:"url" json:"url"`

	Model     string `yaml:"model,omitempty" json:"model,omitempty"`         // its name on the server
	Version   string `yaml:"version,omitempty" json:"version,omitempty"`     // empty: the server's choice
	Signature string `yaml:"signature,omitempty" json:"signature,omitempty"` // of TensorFlow Serving; serving_default if empty

	// What the model takes.
	Input    string       `yaml:"input,omitempty" json:"input,omitempty"`       // name of the tensor
	Datatype string       `yaml:"datatype,omitempty" json:"datatype,omitempty"` // such as FP32 (if unknown; FP64 for json), FP64, UINT8, INT64
	Shape    []int64      `yaml:"shape,omitempty" json:"shape,omitempty"`       // of one row, without the batch
	Layout   model.Layout `yaml:"layout,omitempty" json:"layout,omitempty"`     // if empty: by the shape
	Range    []float64    `yaml:"range,omitempty" json:"range,omitempty"`       // lowest and highest value

	// What it gives.
	Output  string       `yaml:"output,omitempty" json:"output,omitempty"`   // name of the tensor
	Classes []string     `yaml:"classes,omitempty" json:"classes,omitempty"` // names, in the order of the scores
	Scores  model.Output `yaml:"scores,omitempty" json:"scores,omitempty"`   // logits, probabilities or labels; if empty, guessed from the first answer

	// Request and Answer are for json: the template of the request's body and the path to
	// the scores or labels, which the package's documentation describes.
	Request string `yaml:"request,omitempty" json:"request,omitempty"`
	Answer  string `yaml:"answer,omitempty" json:"answer,omitempty"`

	Timeout   Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`       // of one request; 30s if 0
	Retry     Retry    `yaml:"retry,omitempty" json:"retry,omitzero"`            //
	Rate      Rate     `yaml:"rate,omitempty" json:"rate,omitzero"`              //
	Budget    int64    `yaml:"budget,omitempty" json:"budget,omitempty"`         // rows that may be asked about in all; 0 for any number
	MaxRows   int      `yaml:"max_rows,omitempty" json:"max_rows,omitempty"`     // of one request; 64 if 0
	MaxAnswer int64    `yaml:"max_answer,omitempty" json:"max_answer,omitempty"` // bytes of one answer; 16 MiB if 0
	Auth      Auth     `yaml:"auth,omitempty" json:"auth,omitzero"`              //
	TLS       TLS      `yaml:"tls,omitempty" json:"tls,omitzero"`                //

	Clock Clock        `yaml:"-" json:"-"` // the system's if nil
	Seed  uint64       `yaml:"-" json:"-"` // of the jitter
	Log   *slog.Logger `yaml:"-" json:"-"` // of retries; none if nil
}

// Retry says how a request that failed for a passing reason is repeated: after about
// First, then twice that, and so on up to Longest, each pause shortened by a random
// part of up to half. Where the server states a pause it is kept, unless it is longer
// than Longest: then the request has failed.
type Retry struct {
	Attempts int      `yaml:"attempts,omitempty" json:"attempts,omitempty"` // in all; 5 if 0, 1 for no repetition
	First    Duration `yaml:"first,omitempty" json:"first,omitempty"`       // 500ms if 0
	Longest  Duration `yaml:"longest,omitempty" json:"longest,omitempty"`   // 30s if 0
}

// Rate is what an endpoint is asked at most per second, repetitions included; 0 for
// no limit.
type Rate struct {
	Requests float64 `yaml:"requests,omitempty" json:"requests,omitempty"`
	Rows     float64 `yaml:"rows,omitempty" json:"rows,omitempty"`
}

// TLS says how an encrypted endpoint is verified: by the certificates of the
// authorities in a PEM file, or by the system's if there is none.
type TLS struct {
	CA string `yaml:"ca,omitempty" json:"ca,omitempty"`
}

// Duration is a time.Duration written as text, such as 1m30s.
type Duration time.Duration

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration: write a number with its unit, such as 500ms, 30s or 2m", text)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes it as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// FieldError is what is wrong with one field of a Config, named as in YAML.
type FieldError struct {
	Field   string // such as retry.attempts
	Problem string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// The bounds of what can be configured.
const (
	defaultMaxRows   = 64
	highestMaxRows   = 1 << 20
	defaultMaxAnswer = 16 << 20
	highestMaxAnswer = 1 << 30
)

// Validate finds what is wrong without asking anything: all of it, as *FieldErrors
// joined.
func (c Config) Validate() error {
	var v validation
	if !slices.Contains(protocols, c.Protocol) {
		v.wrong("protocol", "%q is none: it is one of %s", c.Protocol, join(protocols))
		return v.err()
	}
	v.url(c)
	v.names(c)
	v.description(c)
	v.limits(c)
	v.auth(c)
	return v.err()
}

type validation struct{ list []error }

func (v *validation) wrong(field, format string, args ...any) {
	v.list = append(v.list, &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)})
}

func (v *validation) err() error { return errors.Join(v.list...) }

func (v *validation) url(c Config) {
	schemes := []string{"http", "https"}
	if c.Protocol == V2GRPC {
		schemes = []string{"grpc", "grpcs"}
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Hostname() == "" || !slices.Contains(schemes, u.Scheme):
		v.wrong("url", "it must be an address that begins with %s:// and names a host", strings.Join(schemes, ":// or "))
	case u.User != nil:
		v.wrong("url", "it holds a name or password: give these in auth, which keeps them secret")
	case u.Fragment != "" || u.RawQuery != "" && c.Protocol != JSON:
		v.wrong("url", "a query or fragment has no place in it")
	case c.Protocol == V2GRPC && (u.Port() == "" || strings.Trim(u.Path, "/") != ""):
		v.wrong("url", "for gRPC it is a host and a port, such as %s://%s:8001", u.Scheme, u.Hostname())
	}
}

func (v *validation) names(c Config) {
	if c.Protocol == JSON {
		v.json(c)
		return
	}
	if c.Model == "" {
		v.wrong("model", "the name of the model on the server is missing")
	}
	if c.Request != "" {
		v.wrong("request", "protocol %s makes its own requests: leave it out, or choose protocol json", c.Protocol)
	}
	if c.Answer != "" {
		v.wrong("answer", "protocol %s finds its scores itself: leave it out, or choose protocol json", c.Protocol)
	}
	if c.Signature != "" && c.Protocol != TensorFlowServing {
		v.wrong("signature", "only tensorflow-serving has signatures")
	}
}

func (v *validation) json(c Config) {
	for field, value := range map[string]string{"model": c.Model, "version": c.Version, "signature": c.Signature, "input": c.Input, "output": c.Output} {
		if value != "" {
			v.wrong(field, "protocol json has none: write it into the url, request or answer")
		}
	}
	if _, err := parseTemplate(c.Request); err != nil {
		v.wrong("request", "%v", err)
	}
	if _, err := parsePath(c.Answer); err != nil {
		v.wrong("answer", "%v", err)
	}
	if len(c.Shape) == 0 {
		v.wrong("shape", "the shape of a row is missing, such as [30] for 30 columns: this protocol has no metadata that tell it")
	}
}

func (v *validation) description(c Config) {
	if size, ok := onnx.Count(c.Shape); !ok || size < 1 || size > model.MaxValues {
		v.wrong("shape", "%v is no shape of a row: sizes are 1 or more, and their product %d at most", c.Shape, model.MaxValues)
	}
	if _, ok := datatypes[c.Datatype]; !ok && c.Datatype != "" {
		v.wrong("datatype", "%q is none that can be sent: it is one of %s", c.Datatype, strings.Join(datatypeNames(), ", "))
	}
	if layouts := []model.Layout{"", model.Tabular, model.NCHW, model.NHWC, model.Other}; !slices.Contains(layouts, c.Layout) {
		v.wrong("layout", "%q is none: it is one of %s", c.Layout, join(layouts[1:]))
	}
	if r := c.Range; len(r) > 0 && (len(r) != 2 || !(r[0] < r[1]) || math.IsInf(r[0], 0) || math.IsInf(r[1], 0)) {
		v.wrong("range", "%v is none: state the lowest and the highest value, such as [0, 1]", r)
	}
	if outputs := []model.Output{"", model.Logits, model.Probabilities, model.Labels}; !slices.Contains(outputs, c.Scores) {
		v.wrong("scores", "%q is none: it is one of %s", c.Scores, join(outputs[1:]))
	}
	v.classes(c)
}

func (v *validation) classes(c Config) {
	if n := len(c.Classes); n == 1 || n > model.MaxClasses {
		v.wrong("classes", "%d are not the classes of a classifier: name 2 to %d", n, model.MaxClasses)
	}
	if c.Scores == model.Labels && len(c.Classes) == 0 {
		v.wrong("classes", "the names of the classes are missing: without them nobody knows which labels there are")
	}
	seen := map[string]bool{}
	for _, name := range c.Classes {
		if seen[name] {
			v.wrong("classes", "%q is named twice", name)
		}
		seen[name] = true
	}
}

func (v *validation) limits(c Config) {
	for field, d := range map[string]Duration{"timeout": c.Timeout, "retry.first": c.Retry.First, "retry.longest": c.Retry.Longest} {
		if d < 0 || d > Duration(24*time.Hour) {
			v.wrong(field, "%s is not between 0 and 24h", time.Duration(d))
		}
	}
	if c.Retry.Attempts < 0 || c.Retry.Attempts > 100 {
		v.wrong("retry.attempts", "%d is not between 1 and 100", c.Retry.Attempts)
	}
	for field, r := range map[string]float64{"rate.requests": c.Rate.Requests, "rate.rows": c.Rate.Rows} {
		if !(r >= 0) || r > 0 && r < 1e-6 || math.IsInf(r, 0) {
			v.wrong(field, "%g is no number per second", r)
		}
	}
	if c.Budget < 0 {
		v.wrong("budget", "%d is no number of rows", c.Budget)
	}
	if c.MaxRows < 0 || c.MaxRows > highestMaxRows {
		v.wrong("max_rows", "%d is not between 1 and %d", c.MaxRows, highestMaxRows)
	}
	if c.MaxAnswer < 0 || c.MaxAnswer > highestMaxAnswer {
		v.wrong("max_answer", "%d is not between 1 and %d bytes", c.MaxAnswer, highestMaxAnswer)
	}
}

func join[T ~string](list []T) string {
	names := make([]string, len(list))
	for i, v := range list {
		names[i] = string(v)
	}
	return strings.Join(names, ", ")
}

// withDefaults fills in what was left out.
func (c Config) withDefaults() Config {
	c.Timeout = cmp.Or(c.Timeout, Duration(30*time.Second))
	c.Retry.Attempts = cmp.Or(c.Retry.Attempts, 5)
	c.Retry.First = cmp.Or(c.Retry.First, Duration(500*time.Millisecond))
	c.Retry.Longest = cmp.Or(c.Retry.Longest, Duration(30*time.Second))
	c.MaxRows = cmp.Or(c.MaxRows, defaultMaxRows)
	c.MaxAnswer = cmp.Or(c.MaxAnswer, defaultMaxAnswer)
	if c.Clock == nil {
		c.Clock = systemClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// endpoint is how errors and logs call the endpoint: without a query, which may hold
// a key.
func (c Config) endpoint() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return "the endpoint"
	}
	name := u.Scheme + "://" + u.Host + strings.TrimSuffix(u.Path, "/")
	if c.Model != "" {
		name += " (model " + c.Model + ")"
	}
	return name
}
