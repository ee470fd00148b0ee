// Package remotetest serves classifiers on the protocols that package remote speaks, so
// that tests have a real server process: the Open Inference Protocol over REST and gRPC,
// TensorFlow Serving's REST interface, and JSON of a form of its own. It makes faults on
// demand. Its handling of tensors is written apart from package remote's.
package remotetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"assay/internal/model"
	"assay/internal/model/remote/internal/inference"
)

// Addresses are where a server listens.
type Addresses struct {
	HTTP string `json:"http"` // http://127.0.0.1:…
	GRPC string `json:"grpc"` // grpc://127.0.0.1:…
}

// Faults are what goes wrong with requests about models, other than for metadata. They
// are set by a POST of their JSON to /faults, and hold for the next Times requests.
type Faults struct {
	Times      int           `json:"times"`
	Status     int           `json:"status"`      // answered instead of scores; over gRPC the code that is nearest
	RetryAfter string        `json:"retry_after"` // with the status
	Delay      time.Duration `json:"delay"`       // before the answer
	Cut        bool          `json:"cut"`         // the connection, in the middle of the answer
	Garbage    string        `json:"garbage"`     // answered instead of JSON
	Redirect   string        `json:"redirect"`    // address
}

// Seen is what a server has seen, answered at /seen: how many requests about models, how
// many rows in those that were answered, and the last request's Authorization.
type Seen struct {
	Requests      int    `json:"requests"`
	Rows          int    `json:"rows"`
	Authorization string `json:"authorization"`
}

// Server serves models by name.
type Server struct {
	inference.UnimplementedGRPCInferenceServiceServer

	models map[string]model.Classifier
	secret string // that a request's Authorization must be; none if empty

	mu     sync.Mutex
	faults Faults
	seen   Seen
}

// NewServer makes a server. Where secret is not empty, requests without it as their
// Authorization are refused with an answer that repeats what they had.
func NewServer(models map[string]model.Classifier, secret string) *Server {
	return &Server{models: models, secret: secret}
}

// Serve listens on two free ports of this machine, tells them, and serves until the
// context ends.
func (s *Server) Serve(ctx context.Context, listening func(Addresses)) error {
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	rpc, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, web.Close())
	}
	httpServer := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: time.Minute}
	grpcServer := grpc.NewServer(grpc.MaxRecvMsgSize(1 << 28))
	inference.RegisterGRPCInferenceServiceServer(grpcServer, s)
	ended := make(chan error, 2)
	go func() { ended <- httpServer.Serve(web) }()
	go func() { ended <- grpcServer.Serve(rpc) }()
	listening(Addresses{HTTP: "http://" + web.Addr().String(), GRPC: "grpc://" + rpc.Addr().String()})
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	grpcServer.Stop()
	return errors.Join(err, httpServer.Close())
}

// Handler serves all that is not gRPC.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, version := range []string{"", "/versions/{version}"} {
		mux.HandleFunc("GET /v2/models/{model}"+version, s.v2Metadata)
		mux.HandleFunc("POST /v2/models/{model}"+version+"/infer", s.faulty(s.v2Infer))
		mux.HandleFunc("GET /v1/models/{model}"+version+"/metadata", s.servingMetadata)
	}
	mux.HandleFunc("POST /v1/models/{call}", s.faulty(s.servingPredict))
	mux.HandleFunc("POST /v1/models/{model}/versions/{call}", s.faulty(s.servingPredict))
	mux.HandleFunc("POST /score/{model}", s.faulty(s.score))
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) {
		var f Faults
		if err := json.NewDecoder(r.Body).Decode(&f); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = f
	})
	mux.HandleFunc("GET /seen", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		reply(w, s.seen)
	})
	return mux
}

// fault notes a request and gives the fault that it is to have.
func (s *Server) fault(authorization string) Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.Requests++
	s.seen.Authorization = authorization
	if s.faults.Times == 0 {
		return Faults{}
	}
	s.faults.Times--
	return s.faults
}

// faulty makes faults before or instead of answers.
func (s *Server) faulty(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		authorization := r.Header.Get("Authorization")
		f := s.fault(authorization)
		if s.secret != "" && authorization != s.secret {
			http.Error(w, fmt.Sprintf("not authorized: %q", r.Header), http.StatusUnauthorized)
			return
		}
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
			return
		}
		switch {
		case f.Redirect != "":
			http.Redirect(w, r, f.Redirect, http.StatusTemporaryRedirect)
		case f.Status != 0:
			if f.RetryAfter != "" {
				w.Header().Set("Retry-After", f.RetryAfter)
			}
			http.Error(w, "a fault was asked for by "+authorization, f.Status)
		case f.Cut:
			w.Header().Set("Content-Length", "1000")
			fmt.Fprintf(w, `{"outputs":[`)
			panic(http.ErrAbortHandler)
		case f.Garbage != "":
			fmt.Fprintf(w, "%s", f.Garbage)
		default:
			handle(w, r)
		}
	}
}

// predict asks a model.
func (s *Server) predict(ctx context.Context, name string, rows []float64) (n int, scores []float64, d model.Description, err error) {
	m, ok := s.models[name]
	if !ok {
		return 0, nil, d, fmt.Errorf("there is no model %q", name)
	}
	d = m.Describe()
	n = len(rows) / d.RowSize()
	scores = make([]float64, n*len(d.Classes))
	if err := m.Predict(ctx, rows, scores); err != nil {
		return 0, nil, d, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.Rows += n
	return n, scores, d, nil
}

func best(scores []float64) int { return slices.Index(scores, slices.Max(scores)) }

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // whoever asked is gone if it fails
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}
