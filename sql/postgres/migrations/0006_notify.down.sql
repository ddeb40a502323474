DROP FUNCTION vestige_tell() CASCADE;
