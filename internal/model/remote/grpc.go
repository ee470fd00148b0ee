package remote

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/url"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"assay/internal/model/remote/internal/inference"
)

// v2GRPC is the Open Inference Protocol over gRPC.
type v2GRPC struct {
	conn          *grpc.ClientConn
	client        inference.GRPCInferenceServiceClient
	hidden        secret
	name, version string
}

func newGRPC(cfg Config, hidden secret) (protocol, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("the url is not usable")
	}
	security := insecure.NewCredentials()
	if u.Scheme == "grpcs" {
		settings, err := cfg.TLS.config()
		if err != nil {
			return nil, err
		}
		if settings == nil {
			settings = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		security = credentials.NewTLS(settings)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(security),
		grpc.WithDisableRetry(), // asker retries
		grpc.WithDisableServiceConfig(),
		grpc.WithMaxHeaderListSize(maxHeader),
		grpc.WithUserAgent("assay"),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(int(cfg.MaxAnswer)),
			grpc.MaxCallSendMsgSize(maxRequest),
			grpc.ForceCodec(boundedCodec{}),
		),
	}
	if hidden.value != nil {
		options = append(options, grpc.WithPerRPCCredentials(rpcSecret{hidden, u.Scheme == "grpcs"}))
	}
	conn, err := grpc.NewClient(u.Host, options...)
	if err != nil {
		return nil, fmt.Errorf("prepare a connection to %s: %w", u.Host, err)
	}
	return &v2GRPC{conn: conn, client: inference.NewGRPCInferenceServiceClient(conn), hidden: hidden, name: cfg.Model, version: cfg.Version}, nil
}

// rpcSecret puts the secret into each call.
type rpcSecret struct {
	secret
	encrypted bool
}

func (s rpcSecret) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{strings.ToLower(s.header): s.value()}, nil
}

func (s rpcSecret) RequireTransportSecurity() bool { return s.encrypted }

// boundedCodec refuses messages that would take far more memory than their bytes, before
// they are decoded: an empty tensor is two bytes, and a hundred once decoded.
type boundedCodec struct{}

func (boundedCodec) Name() string { return "proto" }

func (boundedCodec) Marshal(v any) ([]byte, error) { return proto.Marshal(v.(proto.Message)) }

func (boundedCodec) Unmarshal(data []byte, v any) error {
	rest := data
	for fields := 0; len(rest) > 0; fields++ {
		_, _, n := protowire.ConsumeField(rest)
		if n < 0 || fields == maxOutputs {
			return fmt.Errorf("the message is no protobuf, or has more than %d fields", maxOutputs)
		}
		rest = rest[n:]
	}
	return proto.Unmarshal(data, v.(proto.Message))
}

func (g *v2GRPC) close() error { return g.conn.Close() }

func (g *v2GRPC) metadata(ctx context.Context) (metadata, error) {
	m, err := g.client.ModelMetadata(ctx, &inference.ModelMetadataRequest{Name: g.name, Version: g.version})
	if err != nil {
		switch grpcstatus.Code(err) {
		case codes.Unimplemented, codes.NotFound:
			return metadata{missing: g.failed(ctx, err)}, nil // where it has no model either, the first request fails
		}
		return metadata{}, g.failed(ctx, err)
	}
	convert := func(list []*inference.ModelMetadataResponse_TensorMetadata) (out []tensorInfo) {
		for _, t := range list {
			out = append(out, tensorInfo{name: t.Name, datatype: t.Datatype, shape: t.Shape})
		}
		return out
	}
	return metadata{inputs: convert(m.Inputs), outputs: convert(m.Outputs)}, nil
}

func (g *v2GRPC) infer(ctx context.Context, q query) (answer, error) {
	req := &inference.ModelInferRequest{
		ModelName:    g.name,
		ModelVersion: g.version,
		Inputs: []*inference.ModelInferRequest_InferInputTensor{{
			Name:     q.input.name,
			Datatype: q.input.datatype,
			Shape:    append([]int64{int64(q.n)}, q.input.shape...),
			Contents: contents(q.input.datatype, q.rows),
		}},
	}
	if q.output != "" {
		req.Outputs = []*inference.ModelInferRequest_InferRequestedOutputTensor{{Name: q.output}}
	}
	res, err := g.client.ModelInfer(ctx, req)
	if err != nil {
		return answer{}, g.failed(ctx, err)
	}
	a, err := readInfer(res, q.output, q.limit)
	if err == nil {
		err = a.check(q.n)
	}
	return a, err
}

// failed is the error of a call. The server's own text is cut free of the secret.
func (g *v2GRPC) failed(ctx context.Context, err error) *Error {
	s := grpcstatus.Convert(err)
	if s.Code() == codes.DeadlineExceeded {
		// The call may notice its deadline a little before the context does. asker looks at
		// the context to tell its timeout from what a server says.
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	e := &Error{Status: s.Code().String(), Body: g.hidden.excerpt(s.Message(), maxShown)}
	switch s.Code() {
	case codes.Unavailable:
		e.passing, e.Remedy = true, "check that the server runs and that the url is right, its scheme too, or try again later"
	case codes.ResourceExhausted:
		if strings.HasPrefix(s.Message(), "grpc: received message") { // by the client itself
			e.Remedy = "lower max_rows, or raise max_answer if it is right that answers are so long"
			break
		}
		e.passing, e.Remedy = true, "try again later, or lower rate and max_rows"
	case codes.Unauthenticated, codes.PermissionDenied:
		e.Remedy = "check auth: its header, its prefix, and that the secret is valid"
	case codes.NotFound, codes.Unimplemented:
		e.Remedy = "check url, model and version"
	case codes.InvalidArgument:
		e.Remedy = "check that shape, datatype, input and output are what the model takes"
	default:
		e.Remedy = "look into the server's log"
	}
	for _, detail := range s.Details() {
		if d, ok := detail.(*errdetails.RetryInfo); ok && e.passing {
			e.pause = max(d.GetRetryDelay().AsDuration(), 0)
		}
	}
	e.pause = min(e.pause, 365*24*time.Hour)
	return e
}
