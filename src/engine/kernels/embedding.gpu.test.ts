import { cases } from './embedding.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('embedding', cases);
