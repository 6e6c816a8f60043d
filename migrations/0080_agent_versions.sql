-- Every change of an agent is a new version (C3), whoever makes it and whether or not they think of it.

CREATE FUNCTION next_agent_version() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.kind, NEW.config, NEW.enabled) IS DISTINCT FROM (OLD.kind, OLD.config, OLD.enabled) THEN
        NEW.version := OLD.version + 1;
        NEW.updated_at := now();
    ELSE
        NEW.version := OLD.version;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER agent_versions BEFORE UPDATE ON agent_metadata
    FOR EACH ROW EXECUTE FUNCTION next_agent_version();
