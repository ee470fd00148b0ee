package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// httpClient sends requests to one server.
type httpClient struct {
	client    *http.Client
	base      string
	hidden    secret
	clock     Clock
	maxAnswer int64
}

const (
	maxHeader   = 64 << 10 // bytes of an answer's header
	maxMetadata = 1 << 20  // bytes of metadata, which are parsed whole
	maxStart    = 16 << 10 // bytes of a body that are looked at for an error
	maxShown    = 200      // characters of a body in an error
	connections = 64       // kept open for those who ask side by side
)

func newHTTPClient(cfg Config, hidden secret) (*httpClient, error) {
	settings, err := cfg.TLS.config()
	if err != nil {
		return nil, err
	}
	return &httpClient{
		client: &http.Client{
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				TLSClientConfig:        settings,
				ForceAttemptHTTP2:      true,
				MaxIdleConns:           connections,
				MaxIdleConnsPerHost:    connections,
				IdleConnTimeout:        90 * time.Second,
				MaxResponseHeaderBytes: maxHeader,
			},
			// Whoever redirects could have the rows and the secret sent elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		base:      strings.TrimSuffix(cfg.URL, "/"),
		hidden:    hidden,
		clock:     cfg.Clock,
		maxAnswer: cfg.MaxAnswer,
	}, nil
}

// config is nil where the system's authorities are asked.
func (t TLS) config() (*tls.Config, error) {
	if t.CA == "" {
		return nil, nil
	}
	data, err := readStart(t.CA, 16<<20)
	if err != nil {
		return nil, fmt.Errorf("read the certificates of tls.ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("the file %s, which tls.ca names, holds no certificate in PEM form (BEGIN CERTIFICATE)", t.CA)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

func (h *httpClient) close() error {
	h.client.CloseIdleConnections()
	return nil
}

// get reads a small JSON document.
func (h *httpClient) get(ctx context.Context, path string) ([]byte, error) {
	return h.do(ctx, http.MethodGet, h.base+path, nil, min(maxMetadata, h.maxAnswer))
}

// ask sends JSON and reads the scores of n rows in the JSON that comes back.
func (h *httpClient) ask(ctx context.Context, path string, request []byte, n int, parse func([]byte) (answer, error)) (answer, error) {
	body, err := h.do(ctx, http.MethodPost, h.base+path, request, h.maxAnswer)
	if err != nil {
		return answer{}, err
	}
	a, err := parse(body)
	if err == nil {
		err = a.check(n)
	}
	if err != nil {
		return answer{}, &Error{Problem: "its answer is not usable: " + err.Error(), Body: h.start(body, false)}
	}
	return a, nil
}

// start is the beginning of a body, to be shown.
func (h *httpClient) start(body []byte, cut bool) string {
	text := body[:min(len(body), maxStart)]
	return h.hidden.excerptOfStart(string(text), cut || len(text) < len(body), maxShown)
}

func (h *httpClient) do(ctx context.Context, method, address string, body []byte, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the url is not usable") // the error would show all of it
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "assay")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if h.hidden.value != nil {
		req.Header.Set(h.hidden.header, h.hidden.value())
	}
	res, err := h.client.Do(req)
	if err != nil {
		return nil, notConnected(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, h.refused(res)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	switch {
	case int64(len(data)) > limit:
		return nil, &Error{
			Status: status(res.StatusCode), Problem: fmt.Sprintf("the body has more than %d bytes", limit),
			Remedy: "lower max_rows, or raise max_answer if it is right that answers are so long",
		}
	case err != nil:
		return nil, notConnected(err)
	}
	return data, nil
}

func status(code int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
}

// notConnected is the error of a request without a whole answer.
func notConnected(err error) *Error {
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err // the outer one shows the whole URL
	}
	e := &Error{Problem: err.Error(), Remedy: "check that the server runs and that the url is right", passing: true}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		e.Problem = "the connection ended before the answer did"
	}
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var name *net.DNSError
	switch {
	case errors.As(err, &certificate):
		e.passing, e.Remedy = false, "name the certificate of the authority that signed the server's in tls.ca"
	case errors.As(err, &record), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		e.passing, e.Remedy = false, "the server speaks no TLS at this port: check the url's scheme and port"
	case errors.As(err, &name) && name.IsNotFound:
		e.passing, e.Remedy = false, "check the name of the host in the url"
	}
	return e
}

// refused is the error of an answer with another status than 200.
func (h *httpClient) refused(res *http.Response) *Error {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxStart+1))
	e := &Error{Status: status(res.StatusCode), Body: h.start(body, err != nil)}
	switch code := res.StatusCode; code {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.passing, e.pause = true, retryAfter(res.Header.Get("Retry-After"), h.clock.Now())
		e.Remedy = "try again later, or lower rate and max_rows"
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Remedy = "check auth: its header, its prefix, and that the secret is valid"
		if h.hidden.value == nil {
			e.Remedy = "it wants a secret: state in auth where that is"
		}
	case http.StatusNotFound:
		e.Remedy = "check url, model and version"
	case http.StatusRequestEntityTooLarge:
		e.Remedy = "lower max_rows"
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		e.Remedy = "check that shape, datatype, input, output and request are what the model takes"
	default:
		e.Remedy = "look into the server's log"
		if code >= 300 && code < 400 {
			e.Problem = "it redirects" + h.target(res)
			e.Remedy = "redirects are not followed, so that the secret stays where it was meant for: if this one is right, state its address as url"
		}
	}
	return e
}

// target is where an answer redirects to, without a query.
func (h *httpClient) target(res *http.Response) string {
	u, err := res.Location()
	if err != nil {
		return ""
	}
	return " to " + h.hidden.excerpt(u.Scheme+"://"+u.Host+u.Path, maxShown)
}

// retryAfter reads the header Retry-After: seconds or a date (RFC 9110, section 10.2.3).
func retryAfter(value string, now time.Time) time.Duration {
	const longest = 365 * 24 * time.Hour
	if seconds, err := strconv.ParseUint(strings.TrimSpace(value), 10, 63); err == nil {
		return time.Duration(min(seconds, uint64(longest/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(max(date.Sub(now), 0), longest)
	}
	return 0
}
