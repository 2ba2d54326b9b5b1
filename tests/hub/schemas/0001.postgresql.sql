-- The hub's database as release 0.1.0 left it, schema 0001, with rows in every table. Never edited.
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.activities (
    id character varying NOT NULL,
    workspace character varying NOT NULL,
    kind character varying NOT NULL,
    state character varying NOT NULL,
    progress double precision NOT NULL,
    log json NOT NULL,
    result json,
    error json,
    created_by character varying NOT NULL,
    created_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone
);
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.blob_links (
    owner character varying NOT NULL,
    digest character varying NOT NULL,
    size_bytes bigint NOT NULL,
    media_type character varying NOT NULL
);
CREATE TABLE public.desired (
    device character varying NOT NULL,
    generation integer NOT NULL,
    rollout integer NOT NULL,
    envelope bytea NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.devices (
    id character varying NOT NULL,
    workspace character varying NOT NULL,
    created_at timestamp with time zone NOT NULL,
    certificate_serial character varying,
    certificate_not_after timestamp with time zone,
    revoked_at timestamp with time zone,
    last_seen_at timestamp with time zone,
    hello json,
    reported json
);
CREATE TABLE public.images (
    id integer NOT NULL,
    workspace character varying NOT NULL,
    name character varying NOT NULL,
    version integer NOT NULL,
    digest character varying NOT NULL,
    size_bytes bigint NOT NULL,
    layers json NOT NULL,
    model integer NOT NULL,
    created_by character varying NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.images_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.images_id_seq OWNED BY public.images.id;
CREATE TABLE public.invitations (
    token_sha256 character varying NOT NULL,
    device character varying NOT NULL,
    replaces boolean NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone
);
CREATE TABLE public.layers (
    key character varying NOT NULL,
    digest character varying NOT NULL,
    diff_id character varying NOT NULL,
    size_bytes bigint NOT NULL,
    title character varying NOT NULL
);
CREATE TABLE public.metrics (
    id integer NOT NULL,
    run character varying NOT NULL,
    name character varying NOT NULL,
    step integer NOT NULL,
    value double precision NOT NULL,
    at timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.metrics_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.metrics_id_seq OWNED BY public.metrics.id;
CREATE TABLE public.models (
    id integer NOT NULL,
    workspace character varying NOT NULL,
    name character varying NOT NULL,
    version integer NOT NULL,
    digest character varying NOT NULL,
    size_bytes bigint NOT NULL,
    framework character varying NOT NULL,
    signature json NOT NULL,
    tags json NOT NULL,
    run character varying,
    created_by character varying NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.models_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.models_id_seq OWNED BY public.models.id;
CREATE TABLE public.pulls (
    id integer NOT NULL,
    device character varying NOT NULL,
    repository character varying NOT NULL,
    digest character varying NOT NULL,
    sent_bytes bigint NOT NULL,
    at timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.pulls_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.pulls_id_seq OWNED BY public.pulls.id;
CREATE TABLE public.rollouts (
    id integer NOT NULL,
    workspace character varying NOT NULL,
    name character varying NOT NULL,
    revision integer NOT NULL,
    manifest character varying NOT NULL,
    images json NOT NULL,
    created_by character varying NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.rollouts_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.rollouts_id_seq OWNED BY public.rollouts.id;
CREATE TABLE public.runs (
    id character varying NOT NULL,
    workspace character varying NOT NULL,
    experiment character varying NOT NULL,
    status character varying NOT NULL,
    parameters json NOT NULL,
    outputs json NOT NULL,
    created_by character varying NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone
);
CREATE TABLE public.telemetry_files (
    key character varying NOT NULL,
    workspace character varying NOT NULL,
    stream character varying NOT NULL,
    rows bigint NOT NULL,
    size_bytes bigint NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.telemetry_marks (
    device character varying NOT NULL,
    epoch character varying NOT NULL,
    stream character varying NOT NULL,
    mark bigint NOT NULL
);
CREATE TABLE public.telemetry_pending (
    id integer NOT NULL,
    workspace character varying NOT NULL,
    device character varying NOT NULL,
    stream character varying NOT NULL,
    payload bytea NOT NULL,
    received_at timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.telemetry_pending_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.telemetry_pending_id_seq OWNED BY public.telemetry_pending.id;
CREATE TABLE public.telemetry_rejects (
    id integer NOT NULL,
    subject character varying NOT NULL,
    reason character varying NOT NULL,
    payload bytea NOT NULL,
    received_at timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.telemetry_rejects_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.telemetry_rejects_id_seq OWNED BY public.telemetry_rejects.id;
CREATE TABLE public.tokens (
    secret_sha256 character varying NOT NULL,
    principal character varying NOT NULL,
    role character varying NOT NULL,
    workspace character varying,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone
);
CREATE TABLE public.workspaces (
    name character varying NOT NULL,
    created_at timestamp with time zone NOT NULL
);
ALTER TABLE ONLY public.images ALTER COLUMN id SET DEFAULT nextval('public.images_id_seq'::regclass);
ALTER TABLE ONLY public.metrics ALTER COLUMN id SET DEFAULT nextval('public.metrics_id_seq'::regclass);
ALTER TABLE ONLY public.models ALTER COLUMN id SET DEFAULT nextval('public.models_id_seq'::regclass);
ALTER TABLE ONLY public.pulls ALTER COLUMN id SET DEFAULT nextval('public.pulls_id_seq'::regclass);
ALTER TABLE ONLY public.rollouts ALTER COLUMN id SET DEFAULT nextval('public.rollouts_id_seq'::regclass);
ALTER TABLE ONLY public.telemetry_pending ALTER COLUMN id SET DEFAULT nextval('public.telemetry_pending_id_seq'::regclass);
ALTER TABLE ONLY public.telemetry_rejects ALTER COLUMN id SET DEFAULT nextval('public.telemetry_rejects_id_seq'::regclass);
INSERT INTO public.activities VALUES ('11111111111111111111111111111111', 'shop', 'image-build', 'completed', 1, '[{"at": "2026-01-02T03:04:05+00:00", "text": "done"}]', '{"image": "digits:1"}', NULL, 'ana', '2026-01-02 03:04:05.678901+00', '2026-01-02 03:04:05.678901+00');
INSERT INTO public.alembic_version VALUES ('0001');
INSERT INTO public.blob_links VALUES ('uploads/shop', 'sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 5000000000, 'application/octet-stream');
INSERT INTO public.blob_links VALUES ('shop/digits', 'sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 7, 'application/vnd.oci.image.index.v1+json');
INSERT INTO public.desired VALUES ('cam-1', 1, 1, '\x7b227061796c6f6164223a22227d', '2026-01-02 03:04:05.678901+00');
INSERT INTO public.devices VALUES ('cam-1', 'shop', '2026-01-02 03:04:05.678901+00', '77', '2026-01-02 03:04:05.678901+00', NULL, '2026-01-02 03:04:05.678901+00', '{"agent": "0.1.0", "generation": 1}', '{"generation": 1, "converged": true}');
INSERT INTO public.devices VALUES ('cam-2', 'shop', '2026-01-02 03:04:05.678901+00', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.images VALUES (1, 'shop', 'digits', 1, 'sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 99, '[{"title": "model", "digest": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "size_bytes": 7}]', 1, 'ana', '2026-01-02 03:04:05.678901+00');
INSERT INTO public.invitations VALUES ('eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee', 'cam-1', true, '2026-01-02 03:04:05.678901+00', '2026-01-02 03:04:05.678901+00');
INSERT INTO public.layers VALUES ('dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd', 'sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 123, 'runtime');
INSERT INTO public.metrics VALUES (1, '22222222222222222222222222222222', 'accuracy', 3, 0.9720001, '2026-01-02 03:04:05.678901+00');
INSERT INTO public.metrics VALUES (2, '22222222222222222222222222222222', 'accuracy', 4, 0.98, '2026-01-02 03:04:05.678901+00');
INSERT INTO public.models VALUES (1, 'shop', 'digits', 1, 'sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 5000000000, 'onnx', '{"opset": 17}', '{}', '22222222222222222222222222222222', 'ana', '2026-01-02 03:04:05.678901+00');
INSERT INTO public.pulls VALUES (1, 'cam-1', 'shop/digits', 'sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 5000000000, '2026-01-02 03:04:05.678901+00');
INSERT INTO public.rollouts VALUES (1, 'shop', 'all', 1, 'kind: Rollout
', '{"scorer": "digits:1"}', 'ana', '2026-01-02 03:04:05.678901+00');
INSERT INTO public.runs VALUES ('22222222222222222222222222222222', 'shop', 'digits', 'completed', '{"lr": 0.1, "name": "caf\u00e9"}', '{"model": {"digest": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "size_bytes": 7}}', 'ana', '2026-01-02 03:04:05.678901+00', '2026-01-02 03:04:05.678901+00');
INSERT INTO public.telemetry_files VALUES ('telemetry/shop/s/2026-01-02/33333333333333333333333333333333.parquet', 'shop', 's', 10, 1234, '2026-01-02 03:04:05.678901+00');
INSERT INTO public.telemetry_marks VALUES ('cam-1', 'e1', 's', 9007199254740993);
INSERT INTO public.telemetry_pending VALUES (1, 'shop', 'cam-1', 's', '\x7b2265706f6368223a226531222c226166746572223a302c226669727374223a312c2273616d706c65645f61745f7573223a5b352c365d2c22626f64696573223a5b312c325d7d', '2026-01-02 03:04:05.678901+00');
INSERT INTO public.telemetry_rejects VALUES (1, 'hl.1.cam-1.telemetry.s', 'not JSON', '\x00ff0a', '2026-01-02 03:04:05.678901+00');
INSERT INTO public.tokens VALUES ('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 'ana', 'Admin', NULL, '2026-01-02 03:04:05.678901+00', NULL);
INSERT INTO public.tokens VALUES ('cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc', 'bo', 'Reader', 'shop', '2026-01-02 03:04:05.678901+00', '2026-01-02 03:04:05.678901+00');
INSERT INTO public.workspaces VALUES ('shop', '2026-01-02 03:04:05.678901+00');
INSERT INTO public.workspaces VALUES ('lab', '2026-01-02 03:04:05.678901+00');
SELECT pg_catalog.setval('public.images_id_seq', 1, true);
SELECT pg_catalog.setval('public.metrics_id_seq', 2, true);
SELECT pg_catalog.setval('public.models_id_seq', 1, true);
SELECT pg_catalog.setval('public.pulls_id_seq', 1, true);
SELECT pg_catalog.setval('public.rollouts_id_seq', 1, true);
SELECT pg_catalog.setval('public.telemetry_pending_id_seq', 1, true);
SELECT pg_catalog.setval('public.telemetry_rejects_id_seq', 1, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.activities
    ADD CONSTRAINT pk_activities PRIMARY KEY (id);
ALTER TABLE ONLY public.blob_links
    ADD CONSTRAINT pk_blob_links PRIMARY KEY (owner, digest);
ALTER TABLE ONLY public.desired
    ADD CONSTRAINT pk_desired PRIMARY KEY (device, generation);
ALTER TABLE ONLY public.devices
    ADD CONSTRAINT pk_devices PRIMARY KEY (id);
ALTER TABLE ONLY public.images
    ADD CONSTRAINT pk_images PRIMARY KEY (id);
ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT pk_invitations PRIMARY KEY (token_sha256);
ALTER TABLE ONLY public.layers
    ADD CONSTRAINT pk_layers PRIMARY KEY (key);
ALTER TABLE ONLY public.metrics
    ADD CONSTRAINT pk_metrics PRIMARY KEY (id);
ALTER TABLE ONLY public.models
    ADD CONSTRAINT pk_models PRIMARY KEY (id);
ALTER TABLE ONLY public.pulls
    ADD CONSTRAINT pk_pulls PRIMARY KEY (id);
ALTER TABLE ONLY public.rollouts
    ADD CONSTRAINT pk_rollouts PRIMARY KEY (id);
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT pk_runs PRIMARY KEY (id);
ALTER TABLE ONLY public.telemetry_files
    ADD CONSTRAINT pk_telemetry_files PRIMARY KEY (key);
ALTER TABLE ONLY public.telemetry_marks
    ADD CONSTRAINT pk_telemetry_marks PRIMARY KEY (device, epoch, stream);
ALTER TABLE ONLY public.telemetry_pending
    ADD CONSTRAINT pk_telemetry_pending PRIMARY KEY (id);
ALTER TABLE ONLY public.telemetry_rejects
    ADD CONSTRAINT pk_telemetry_rejects PRIMARY KEY (id);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT pk_tokens PRIMARY KEY (secret_sha256);
ALTER TABLE ONLY public.workspaces
    ADD CONSTRAINT pk_workspaces PRIMARY KEY (name);
ALTER TABLE ONLY public.images
    ADD CONSTRAINT uq_images_workspace UNIQUE (workspace, name, version);
ALTER TABLE ONLY public.models
    ADD CONSTRAINT uq_models_workspace UNIQUE (workspace, name, version);
ALTER TABLE ONLY public.rollouts
    ADD CONSTRAINT uq_rollouts_workspace UNIQUE (workspace, name, revision);
CREATE INDEX ix_activities_workspace ON public.activities USING btree (workspace);
CREATE INDEX ix_desired_rollout ON public.desired USING btree (rollout);
CREATE INDEX ix_devices_workspace ON public.devices USING btree (workspace);
CREATE INDEX ix_metrics_run ON public.metrics USING btree (run);
CREATE INDEX ix_pulls_device ON public.pulls USING btree (device);
CREATE INDEX ix_runs_experiment ON public.runs USING btree (workspace, experiment);
CREATE INDEX ix_telemetry_files_stream ON public.telemetry_files USING btree (workspace, stream);
ALTER TABLE ONLY public.activities
    ADD CONSTRAINT fk_activities_workspace_workspaces FOREIGN KEY (workspace) REFERENCES public.workspaces(name);
ALTER TABLE ONLY public.desired
    ADD CONSTRAINT fk_desired_device_devices FOREIGN KEY (device) REFERENCES public.devices(id);
ALTER TABLE ONLY public.desired
    ADD CONSTRAINT fk_desired_rollout_rollouts FOREIGN KEY (rollout) REFERENCES public.rollouts(id);
ALTER TABLE ONLY public.devices
    ADD CONSTRAINT fk_devices_workspace_workspaces FOREIGN KEY (workspace) REFERENCES public.workspaces(name);
ALTER TABLE ONLY public.images
    ADD CONSTRAINT fk_images_model_models FOREIGN KEY (model) REFERENCES public.models(id);
ALTER TABLE ONLY public.images
    ADD CONSTRAINT fk_images_workspace_workspaces FOREIGN KEY (workspace) REFERENCES public.workspaces(name);
ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT fk_invitations_device_devices FOREIGN KEY (device) REFERENCES public.devices(id);
ALTER TABLE ONLY public.metrics
    ADD CONSTRAINT fk_metrics_run_runs FOREIGN KEY (run) REFERENCES public.runs(id);
ALTER TABLE ONLY public.models
    ADD CONSTRAINT fk_models_run_runs FOREIGN KEY (run) REFERENCES public.runs(id);
ALTER TABLE ONLY public.models
    ADD CONSTRAINT fk_models_workspace_workspaces FOREIGN KEY (workspace) REFERENCES public.workspaces(name);
ALTER TABLE ONLY public.rollouts
    ADD CONSTRAINT fk_rollouts_workspace_workspaces FOREIGN KEY (workspace) REFERENCES public.workspaces(name);
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT fk_runs_workspace_workspaces FOREIGN KEY (workspace) REFERENCES public.workspaces(name);
ALTER TABLE ONLY public.telemetry_files
    ADD CONSTRAINT fk_telemetry_files_workspace_workspaces FOREIGN KEY (workspace) REFERENCES public.workspaces(name);
ALTER TABLE ONLY public.telemetry_pending
    ADD CONSTRAINT fk_telemetry_pending_workspace_workspaces FOREIGN KEY (workspace) REFERENCES public.workspaces(name);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT fk_tokens_workspace_workspaces FOREIGN KEY (workspace) REFERENCES public.workspaces(name);
